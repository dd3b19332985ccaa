"""Numbers of parts on each die that even out what is there, and numbers that a config gives."""

import pytest

pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")

from einloom.catalogue import load_config
from einloom.fpga.even_floorplan import even_floorplan
from einloom.fpga.floorplan import floorplan, on_dies
from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import Part
from einloom.generators.registry import describe
from einloom.spec.errors import InputError
from einloom.spec.floorplan_config import FloorplanConfig
from einloom.spec.manifest import CoreManifest

ROOM = (Resources(lut=200, dsp=250, bram36=60, uram=30), *[Resources(lut=300, dsp=300, bram36=60, uram=30)] * 2)
KINDS = ("lut", "dsp", "bram36", "uram")
TOTAL = Resources(lut=448, dsp=520, bram36=64, uram=32)


@pytest.fixture(scope="module")
def core() -> CoreManifest:
    return describe(load_config("u280-dense")).core


def wide(**of_each: Resources) -> dict[str, Part]:
    """Parts of a core with 32 lanes and channels, each of so much; nothing else takes anything."""
    numbers = range(32)
    machine = {"attention_unit": "attention", "gemm_unit": "gemm"}
    inside = {
        "top": {"machine": "machine"} | {f"cache{n}_master": "cache_masters" for n in numbers},
        "machine": machine,
        "attention": {f"lane_{n}": "attention_lanes" for n in numbers},
        "gemm": {"engine": "engine"} | {f"weights_{n}": "weight_queues" for n in numbers},
        "engine": {f"gearbox_{n}": "gearboxes" for n in numbers} | {f"grid_{n}": "grids" for n in range(8)},
    }
    parts = {name: Part(name, 1, each, each, 1, (), {}, {}, {}) for name, each in of_each.items()}
    for name in reversed(inside):
        total = sum((parts[of].total for of in inside[name].values()), Resources())
        parts[name] = Part(name, 1, Resources(), total, 1, (), {}, {}, inside[name])
    return parts


def test_no_die_is_much_fuller_than_another_and_none_loses_a_part(core: CoreManifest) -> None:
    parts = wide(
        attention_lanes=Resources(lut=6, dsp=6),
        grids=Resources(lut=8, dsp=41),
        gearboxes=Resources(lut=6),
        weight_queues=Resources(uram=1),
        cache_masters=Resources(bram36=2),
    )
    assert parts["top"].total == TOTAL
    found = even_floorplan(core, parts, "top", ROOM)
    assert found is not None
    held = on_dies(floorplan(core, found), parts, "top").values()
    assert sum(held, Resources()) == TOTAL
    shares = [[getattr(h, kind) / getattr(room, kind) for h, room in zip(held, ROOM, strict=True)] for kind in KINDS]
    assert max(map(max, shares)) <= 0.7  # 56 % of the LUTs, 61 of the DSPs, 53 of both memories, which two dies share
    assert found.weight_queues == (0, 16, 16)
    assert found.cache_masters == (16, 16, 0)


def test_numbers_of_a_config_are_on_their_dies(core: CoreManifest) -> None:
    plan = floorplan(core, FloorplanConfig(grids=(1, 5, 2)))
    on = [[path for path in paths if "grid_" in path] for paths in plan.values()]
    assert list(map(len, on)) == [1, 5, 2]


def test_numbers_that_are_not_the_cores_are_refused(core: CoreManifest) -> None:
    message = r"floorplan\.gearboxes: \[4, 4, 4\] are 12, and the core has 32 of them"
    with pytest.raises(InputError, match=message):
        floorplan(core, FloorplanConfig(gearboxes=(4, 4, 4)))


def test_a_core_without_parts_in_numbers_has_nothing_to_even_out() -> None:
    small = describe(load_config("default")).core
    parts = {"top": Part("top", 1, TOTAL, TOTAL, 1, (), {}, {}, {})}
    assert even_floorplan(small, parts, "top", ROOM) is None
