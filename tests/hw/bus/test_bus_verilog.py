"""The Verilog of the bus's parts under the checks that all of our Verilog passes."""

from pathlib import Path

import pytest

from einloom.generators.emit import LINT_WAIVERS, SharedModules
from einloom.hw.buffers.skid import SkidBuffer
from einloom.hw.bus.control_registers import ControlRegisters
from einloom.hw.part import Part
from einloom.sim.verilator import Toolchain
from tests.bus.assembled import Assembled
from tests.bus.build import MEMORY
from tests.hw.bus.test_control_registers import TABLE
from tests.test_emit import slang_accepts

PARTS = {
    "assembled": Assembled(readers=3, data_bits=512, max_burst=64, fifo_beats=512),
    "control_registers": ControlRegisters(TABLE),
    "skid_buffer": SkidBuffer(512),
}


@pytest.mark.parametrize("name", PARTS)
def test_verilator_lint_and_slang_report_nothing(name: str, tmp_path: Path) -> None:
    part: Part = PARTS[name]
    source = tmp_path / f"{name}.v"
    source.write_text(LINT_WAIVERS + SharedModules().emit(part, name))
    tools = Toolchain()
    tools.run([tools.command, "--lint-only", "-Wall", "--top-module", name, "-Mdir", "obj", str(source)], tmp_path)
    assert slang_accepts(source)


def test_slang_accepts_the_simulated_memory() -> None:
    assert slang_accepts(MEMORY)
