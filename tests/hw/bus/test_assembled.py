"""Masters, multiplexer and simulated memory together."""

import json
from pathlib import Path

import pytest

from tests.bus.assembled import Assembled, build_assembled
from tests.bus.build import run_tests
from tests.marks import slow

BEATS = 8192
SHARE = 0.99  # of the cycles, beats accepted by a master: what "a beat in every cycle" means here


@pytest.mark.parametrize(("readers", "data_bits"), [(3, 64), slow(1, 256)])
def test_assembled_bus(readers: int, data_bits: int, tmp_path: Path) -> None:
    part = Assembled(readers=readers, data_bits=data_bits, max_burst=64, fifo_beats=256)
    report = tmp_path / "figures.json"
    settings = {"bytes": data_bits // 8, "beats": BEATS, "readers": readers, "report": str(report)}
    run_tests(build_assembled(part, BEATS), tmp_path, "cocotb_assembled", settings)
    figures = json.loads(report.read_text())
    assert len(figures) == 4
    assert all(figure["share"] >= SHARE for figure in figures.values()), figures
