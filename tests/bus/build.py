"""Parts and benches of the bus as simulators, and cocotb tests run on them."""

import importlib
from collections.abc import Mapping
from pathlib import Path

from einloom.generators.emit import SharedModules
from einloom.hw.part import Part
from einloom.sim.engine_benches import run_cocotb
from einloom.sim.verilator import Toolchain

MEMORY = Path(__file__).parents[2] / "sim" / "bench" / "axi_memory.sv"


def build_part(part: Part, name: str) -> Path:
    """The simulator of one part, all of whose ports cocotb sees."""
    ports = ["__".join(map(str, path)) for path, _, _ in part.signature.flatten(part)]
    text = SharedModules().emit(part, name)
    return Toolchain().build({f"{name}.v": text}, name, ["clk", "rst", *ports])


def run_tests(executable: Path, folder: Path, module: str, settings: Mapping[str, object], *, seed: int = 1) -> None:
    """Run every cocotb test of tests.bus.`module`."""
    name = f"tests.bus.{module}"
    tests = tuple(key for key, value in vars(importlib.import_module(name)).items() if type(value).__name__ in KINDS)
    assert tests
    run_cocotb(executable, folder, dict(settings), tests, seed=seed, module=name)


KINDS = ("Test", "TestGenerator")  # what @cocotb.test makes of a function
