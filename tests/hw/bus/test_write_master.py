"""WriteMaster in Verilog, driven by cocotbext-axi."""

from pathlib import Path

import pytest

from einloom.hw.bus.write_master import WriteMaster
from tests.bus.build import build_part, run_tests
from tests.marks import slow

SHAPES = {
    "narrow": {"data_bits": 64, "max_burst": 16, "max_outstanding": 4},
    "wide": {"data_bits": 256, "max_burst": 64, "max_outstanding": 2},
}


@pytest.mark.parametrize("shape", [slow(name) if name == "narrow" else name for name in SHAPES])
def test_write_master(shape: str, tmp_path: Path) -> None:
    part = WriteMaster(**SHAPES[shape])
    run_tests(build_part(part, "write_master"), tmp_path, "cocotb_write_master", SHAPES[shape])
