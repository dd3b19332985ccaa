"""The resource model of cores against what Yosys made of them."""

import json
from pathlib import Path

import pytest

pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")

from benchmarks.fit_resources import fit
from einloom.catalogue import load_config, shipped_configs
from einloom.fpga.design.core_parts import CorePart
from einloom.fpga.design.on_chip import Memory
from einloom.fpga.design.resource_model import FACTORS, core_resources, part_luts
from einloom.spec.errors import InputError
from tests.test_synth_regression import RECORDED

WITHIN = 0.1


def has_core(path: Path) -> bool:
    return load_config(path).core is not None


SYNTHESISED = [name for name, path in shipped_configs().items() if name in RECORDED["configs"] and has_core(path)]
FITTED = json.loads(FACTORS.read_text())


@pytest.mark.parametrize("name", SYNTHESISED)
def test_shipped_cores_are_within_a_tenth(name: str) -> None:
    made, found = RECORDED["configs"][name], core_resources(load_config(name))
    for resource in ("lut", "dsp", "bram36", "uram"):
        assert getattr(found, resource) == pytest.approx(made[resource], rel=WITHIN), resource


def test_memories_are_counted_not_fitted() -> None:
    """All memories of shipped cores are where the rules say, to the block."""
    for name in SYNTHESISED:
        made, found = RECORDED["configs"][name], core_resources(load_config(name))
        assert (found.bram36, found.uram) == (made["bram36"], made["uram"])


@pytest.mark.parametrize(
    ("memory", "bram36", "uram"),
    [
        (Memory(32, 512), 0, 0),  # in LUTs
        (Memory(128, 128), 2, 0),
        (Memory(129, 40), 1, 0),
        (Memory(256, 513), 7.5, 0),
        (Memory(512, 256), 4, 0),
        (Memory(1024, 256), 7.5, 0),
        (Memory(4096, 512), 0, 8),  # seven columns of 72 bits, and eight bits in one more
        (Memory(8192, 1024, reads=3), 0, 87),
        (Memory(16384, 512, reads=3), 0, 87),
    ],
)
def test_blocks_of_a_memory(memory: Memory, bram36: float, uram: int) -> None:
    assert (memory.blocks.bram36, memory.blocks.uram) == (bram36, uram)


def test_factors_are_those_of_the_points() -> None:
    assert fit(FITTED["points"]) == FITTED["factors"]


@pytest.mark.parametrize("of", sorted({point["of"] for point in FITTED["points"]} - {"by itself"}))
def test_the_parts_of_a_core_are_met(of: str) -> None:
    """What is fitted to all cores together is near to each of them: all of a core's parts, by their copies."""
    points = [point for point in FITTED["points"] if point["of"] == of]
    made = sum(point["copies"] * point["lut"] for point in points)
    found = sum(p["copies"] * part_luts(CorePart(p["kind"], 1, p["terms"], p["variant"])) for p in points)
    assert made > 100_000
    assert found == pytest.approx(made, rel=0.03)


def test_an_engine_that_nobody_fitted() -> None:
    data = load_config("core-dsp").model_dump(mode="json")
    data["engine"]["formats"] = ["bitmod-fp4", "int2-nof8"]
    with pytest.raises(InputError, match=r"column tops, .* are not known without synthesis: einloom synth tells them"):
        core_resources(load_config(data))
