"""What shipped configs take of the U280 is what it took when it was last looked at.

A change of hardware that is meant to change it goes with `python -m benchmarks.synth_configs --write`.
"""

import json

import pytest

pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")

from benchmarks.synth_configs import RECORD, measure
from einloom.cli.locate import shipped_configs
from fpga import yosys

CHEAP = {"bitmod-8x8", "int-mac-16x16", "fusemax-16x16"}
RECORDED = json.loads(RECORD.read_text())


def test_every_shipped_config_is_recorded() -> None:
    assert RECORDED["configs"].keys() == shipped_configs().keys()


@pytest.mark.parametrize(
    "name", [n if n in CHEAP else pytest.param(n, marks=pytest.mark.slow) for n in RECORDED["configs"]]
)
def test_resources_are_those_recorded(name: str) -> None:
    if yosys.version() != RECORDED["pyosys"]:
        pytest.skip(f"recorded with pyosys {RECORDED['pyosys']}, and figures change with its version")
    assert measure(name) == RECORDED["configs"][name]
