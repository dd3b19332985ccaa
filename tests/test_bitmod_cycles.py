"""Cycles of the bitmod engine, counted by the RTL: 4 MACs per PE in 2, 2, 3, 3, 4 cycles (BitMoD, section IV-B), and in
1 and 2 for integers of 2 and 4 bits, which have as many Booth digits."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from einloom.mapping.cost.gemm import gemm_cycles
from einloom.sim.bench.cases import random_tensor
from einloom.sim.gemm_device import RtlDevice
from einloom.sim.strategies import make_config
from einloom.spec.formats import FORMATS

CYCLES = {"bitmod-fp3": 2, "bitmod-fp4": 2, "int2": 1, "int4": 2, "int5": 3, "int6": 3, "int8": 4}
INPUTS, TILES, GROUP = 4096, (2, 6), 128


@pytest.fixture(scope="module")
def device() -> Iterator[RtlDevice]:
    engine = {"kind": "bitmod", "rows": 4, "columns": 4, "formats": list(CYCLES), "group": GROUP}
    with closing(RtlDevice(make_config(engine, beat_bits=128))) as opened:
        rng, gemm = np.random.default_rng(0), opened.design.manifest.gemm
        opened.load({
            f"{name}/{tiles}": random_tensor(rng, gemm, FORMATS[name], tiles * gemm.columns, INPUTS)
            for name in CYCLES
            for tiles in TILES
        })
        yield opened


def cycles(device: RtlDevice, name: str, tiles: int) -> int:
    before = device.counters.cycles
    device.linear(f"{name}/{tiles}", np.random.default_rng(1).integers(-128, 128, (4, INPUTS), np.int8))
    return device.counters.cycles - before


@pytest.mark.parametrize("name", CYCLES)
def test_four_macs_take_as_many_cycles_as_the_format_has_terms(device: RtlDevice, name: str) -> None:
    few, many = (cycles(device, name, tiles) for tiles in TILES)
    # What tiles add is their terms and nothing else: neither metadata nor the dequantizer costs a cycle. Only steps of
    # one term leave no cycle in which a group's metadata could be taken unnoticed.
    tile = INPUTS // 4 * CYCLES[name] + (INPUTS // GROUP if CYCLES[name] == 1 else 0)
    assert many - few == (TILES[1] - TILES[0]) * tile
    assert many <= TILES[1] * tile / 0.97


@pytest.mark.parametrize("name", CYCLES)
def test_the_cost_model_gives_the_cycles_of_the_rtl(device: RtlDevice, name: str) -> None:
    gemm = device.design.manifest.gemm
    for tiles in TILES:
        predicted = gemm_cycles(gemm, FORMATS[name], tokens=4, inputs=INPUTS, outputs=tiles * gemm.columns)
        assert abs(predicted - cycles(device, name, tiles)) <= 0.01 * predicted
