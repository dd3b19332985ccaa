"""Floorplans: every instance is on one die at most, and what dies hold is all of the design."""

import re
from itertools import permutations

import pytest

pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")

from einloom.catalogue import load_config
from einloom.fpga.floorplan import MIDDLE, Plan, floorplan, on_dies
from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import Part
from einloom.generators.registry import describe


def plan_of(name: str) -> Plan:
    config = load_config(name)
    return floorplan(describe(config).core, config.floorplan)


@pytest.mark.parametrize("name", ["default", "core-4ch", "u280-dense", "u280-accllm"])
def test_no_instance_of_a_floorplan_holds_another(name: str) -> None:
    plan = plan_of(name)
    paths = [path for paths in plan.values() for path in paths]
    assert len(set(paths)) == len(paths)
    for outer, inner in permutations(paths, 2):
        assert not re.match(re.escape(outer).replace(r"\*", r"\w*") + "/", inner), f"{outer} holds {inner}"


def test_lanes_and_grids_of_a_wide_core_are_on_several_dies() -> None:
    plan = plan_of("u280-dense")
    for part in ("attention_unit/lane_", "engine/grid_", "gemm_unit/weights_"):
        dies = [die for die, paths in plan.items() if any(f"/{part}" in path for path in paths)]
        assert len(dies) >= 2, part


def part(name: str, luts: int, own: int = 0, **instances: str) -> Part:
    return Part(name, 1, Resources(lut=own), Resources(lut=luts), 1, (), {}, {}, instances)


def test_what_is_named_is_on_its_die_and_all_else_in_the_middle() -> None:
    parts = {
        "top": part("top", 171, own=1, program_master="master", machine="machine", other="lane"),
        "machine": part("machine", 67, own=7, a_0="lane", a_1="lane", b_0="master"),
        "master": part("master", 40, own=40),
        "lane": part("lane", 10, own=10),
    }
    plan = {"SLR0": ("*_master", "machine/a_1"), MIDDLE: (), "SLR2": ("machine/b_*",)}
    held = {die: resources.lut for die, resources in on_dies(plan, parts, "top").items()}
    assert held == {"SLR0": 50, MIDDLE: 1 + 7 + 10 + 10, "SLR2": 40}
