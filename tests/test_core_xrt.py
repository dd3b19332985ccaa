"""The kernel of a generated core, as XRT drives it, between the control master and the memories of cocotbext-axi."""

import dataclasses
from pathlib import Path

import numpy as np

from einloom.fpga.boards import BOARDS
from einloom.fpga.kernel.interface import kernel_interface
from einloom.fpga.kernel.wrapper import CLOCK, RESET, wrapper
from einloom.sim.bench.core import SEPARATE
from einloom.sim.golden.driver import GoldenDriver
from einloom.sim.verilator import Toolchain
from einloom.spec.core_registers import design_number
from einloom.spec.driver import SYSTEM
from einloom.spec.instruction import assemble
from einloom.spec.isa import CoreError
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from einloom.spec.token_table import token_rows
from tests.bus.build import run_tests
from tests.core_bed import BITMOD, SMALLEST, Shape, core_config, core_design, random_program

SHAPE = Shape(inner=32, heads=1)
LENGTH = 3  # tokens: a whole chunk and a part of one
LINES = """
load offset=64 rows=positions stride=3 words=2 d_base=10 d_token=2 signal=vector
load offset=100 words=2 signal=vector
vector wait=load op=mad
vector wait=load op=mad x=immediate y=vector outer=1 inner=2 a_base=10 a_token=2 a_inner=1 c_inner=1 d_base=20 \
d_token=2 immediate=3.1415927 signal=store
store wait=vector offset=32 stride=2 words=2 a_base=20 a_token=2 signal=load
load wait=store offset=32 words=2 d_base=30 signal=store
next
store condition=last_chunk wait=load offset=40 words=2 a_base=30
end
"""
"""A table's rows times pi plus another row, stored; the last chunk's first row once more."""


def assembled(like: Program, beats: int = 128) -> Program:
    """LINES as a program, behind a system window of random floats."""
    instructions = tuple(assemble(line) for line in LINES.strip().split("\n"))
    beat = 32
    data = np.random.default_rng(4).normal(size=beats * beat // 4).astype("<f4").view(np.uint8)
    raw = np.frombuffer(b"".join(i.encode() for i in instructions), np.uint8)
    symbols = like.symbols.model_copy(update={"program": beats, "instructions": len(instructions)})
    notes = ("",) * len(instructions)
    image = np.concatenate([data, raw])
    return dataclasses.replace(like, symbols=symbols, instructions=instructions, notes=notes, system=image)


def write_job(folder: Path, manifest: Manifest, program: Program, row: int, length: int) -> dict[str, object]:
    """A job's images, and the memory that golden leaves."""
    folder.mkdir()
    beat, tokens = manifest.core.beat_bytes, program.symbols.tokens
    rows = token_rows(range(program.symbols.context), 0, beat)
    program.system[tokens * beat :][: rows.size] = rows
    golden = GoldenDriver(manifest, program)
    assert golden.run(row, length).error is CoreError.NONE
    (folder / "system.bin").write_bytes(program.system.tobytes())
    (folder / "expected.bin").write_bytes(golden.dump(SYSTEM, 0, program.system.size).tobytes())
    for c, weights in enumerate(program.weights):
        (folder / f"weights{c}.bin").write_bytes(weights.tobytes())
    return {
        "folder": str(folder),
        "program": program.symbols.program,
        "report": program.system.size // (manifest.gemm.weights.beat_bits // 8),
        "instructions": len(program.instructions),
        "row": row,
        "length": length,
    }


def test_a_kernel_between_third_party_models_is_golden(tmp_path: Path) -> None:
    design = core_design(core_config(base=BITMOD, **SMALLEST))
    manifest = design.manifest
    model = random_program(manifest, SHAPE)
    separate = [m for m in manifest.modules if m.endswith(SEPARATE)]
    kernel = kernel_interface(manifest, BOARDS["u280"])
    ports = [CLOCK, RESET, *(port.name for port in manifest.ports if port.name not in ("clk", "rst"))]
    sources = {"design.v": design.verilog, "kernel.v": wrapper(manifest, kernel)}
    executable = Toolchain().build(sources, kernel.name, ports, separate=separate)
    settings = {
        "registers": [r.model_dump(mode="json") for r in manifest.core.registers],
        "channels": len(model.weights),
        "design": design_number(manifest.digest),
        "jobs": [
            write_job(tmp_path / "assembled", manifest, assembled(model), 5, LENGTH),
            write_job(tmp_path / "model", manifest, model, 4, LENGTH),
            write_job(tmp_path / "again", manifest, assembled(model), 0, 1),
        ],
    }
    run_tests(executable, tmp_path, "cocotb_core", settings)
