"""ReadMaster in Verilog, driven by cocotbext-axi."""

from pathlib import Path

import pytest

from einloom.hw.bus.read_master import ReadMaster
from tests.bus.build import build_part, run_tests
from tests.marks import slow

SHAPES = {
    "narrow": {"data_bits": 64, "max_burst": 16, "fifo_beats": 40, "max_outstanding": 4},
    "wide": {"data_bits": 512, "max_burst": 64, "fifo_beats": 64, "max_outstanding": 2},
}


@pytest.mark.parametrize("shape", [slow(name) if name == "narrow" else name for name in SHAPES])
def test_read_master(shape: str, tmp_path: Path) -> None:
    part = ReadMaster(**SHAPES[shape])
    run_tests(build_part(part, "read_master"), tmp_path, "cocotb_read_master", SHAPES[shape])
