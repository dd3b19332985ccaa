"""What shipped configs take of the U280 is what it took when it was last looked at.

A change of hardware that is meant to change it goes with `python -m benchmarks.synth_configs --write`.
"""

import json

import pytest

pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")

from benchmarks.synth_configs import KEYS, RECORD, measure
from einloom.catalogue import load_config, shipped_configs
from einloom.fpga import yosys
from einloom.fpga.boards import BOARDS
from tests.cores import FLAGSHIPS

CHEAP = {"bitmod-8x8"}
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


@pytest.mark.parametrize(("name", "region"), [("u280", "u280 less"), ("u280-slr", "SLR0")])
def test_the_configs_for_the_board_leave_room_for_wires(name: str, region: str) -> None:
    """At most 70 % of any resource of the card, or of the die beside the HBM, without what the shell takes."""
    ports = load_config(name).memory.channels + 1
    [room] = [of for what, of in BOARDS["u280"].regions(ports) if what.startswith(region)]
    for key in KEYS:
        assert RECORDED["configs"][name][key] <= 0.7 * getattr(room, key), key


@pytest.mark.parametrize("name", [name for name in FLAGSHIPS if name not in ("u280", "u280-slr")])
def test_a_flagship_leaves_room_on_the_card_and_on_every_die(name: str) -> None:
    """At most 70 % of any resource of the card, and of each die with what the floorplan puts there; nine levels."""
    board, record = BOARDS["u280"], RECORDED["configs"][name]
    ports = load_config(name).memory.channels + 1
    [room] = [of for what, of in board.regions(ports) if what.startswith("u280 less")]
    assert record["levels"] <= 9
    for key in KEYS:
        assert record[key] <= 0.7 * getattr(room, key), key
        assert record[key] == sum(die[key] for die in record["dies"].values())
        for (die, held), has in zip(record["dies"].items(), board.dies(ports), strict=True):
            assert held[key] <= 0.7 * getattr(has, key), f"{key} of {die}"
