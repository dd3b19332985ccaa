"""Tiles of keys and values as they lie in the cache, in the engine's order."""

import numpy as np
import pytest

from einloom.hw.core.tile_reader import TileReader
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.golden.cache_tiles import read_tiles
from einloom.spec.cache_format import CacheFormat
from tests.hw.around import PAUSES, Memory, reader

BEAT_BYTES = 8
ROWS = 4
MAX_HEAD = 16
NO_JUMP = {"sinks": 0, "keys": 0, "values": 0}
JOBS = [
    {"keys": 100, "values": 900, "heads": {"query_head": 8, "value_head": 16, "tiles": 3}, "jump": NO_JUMP},
    {"keys": 40, "values": 7, "heads": {"query_head": 4, "value_head": 8, "tiles": 1}, "jump": NO_JUMP},
    {"keys": (1 << 32) - 8, "values": 0, "heads": {"query_head": 16, "value_head": 4, "tiles": 2}, "jump": NO_JUMP},
]
JUMPS = [
    {"keys": 100, "values": 900, "heads": {"query_head": 8, "value_head": 16, "tiles": 4}, "jump": jump}
    for sinks in range(4)
    for jump in [{"sinks": sinks, "keys": 8 * (sinks + 7), "values": 16 * (sinks + 7)}]
]
FORMATS = {
    f"{bits} bits{', scales' if scales else ''}": CacheFormat(bits, ROWS, 8 * BEAT_BYTES, token_scales=scales)
    for bits in (4, 8)
    for scales in (False, True)
}
PARTS = {name: TileReader(cache, MAX_HEAD, parity=False) for name, cache in FORMATS.items()}
Words = list[int]


def visited(tiles: int) -> list[tuple[str, int]]:
    """K0, K1, V0, K2, V1 and so on."""
    keys = [("keys", 0)]
    pairs = [step for n in range(1, tiles) for step in (("keys", n), ("values", n - 1))]
    return [*keys, *pairs, ("values", tiles - 1)]


def tile(memory: Memory, at: int, head: int, cache: CacheFormat) -> Words:
    """For each element that of all rows, as the golden core reads the tile."""
    raw = np.array([memory.byte(at + n) for n in range(cache.tile_bytes(head))], np.uint8)
    width = "<i2" if cache.token_scales else "<i1"
    return [int.from_bytes(row.astype(width).tobytes(), "little") for row in read_tiles(raw[None], cache).T]


def golden(memory: Memory, jobs: list[dict], cache: CacheFormat) -> dict[str, list]:
    streams: dict[str, list] = {"request": [], "keys": [], "values": []}
    for job in jobs:
        sizes = {"keys": job["heads"]["query_head"], "values": job["heads"]["value_head"]}
        for kind, number in visited(job["heads"]["tiles"]):
            size = cache.tile_bytes(sizes[kind])
            jump = job["jump"]
            steps = number - (0 < jump["sinks"] <= number)
            offset = job[kind] * BEAT_BYTES + steps * size + (number >= jump["sinks"]) * jump[kind] * BEAT_BYTES
            # The number of a beat has 32 bits: what goes beyond is outside every window, and comes round.
            offset %= BEAT_BYTES << 32
            streams["request"].append({"offset": offset, "beats": size // BEAT_BYTES})
            streams[kind] += tile(memory, offset, sizes[kind], cache)
    return streams


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("name", PARTS)
def test_tiles_come_in_the_engines_order(name: str, pause: float) -> None:
    memory = Memory()
    names = ("job", "request", "beats", "keys", "values")
    bench = PartBench(
        PARTS[name],
        {"job": JOBS},
        pauses=dict.fromkeys(names, pause),
        partners=[reader(memory, BEAT_BYTES)],
    )
    bench.check(lambda inputs: golden(memory, inputs["job"], FORMATS[name]))


@pytest.mark.parametrize("slow", ["keys", "values"])
def test_one_stream_never_blocks_the_other_for_ever(slow: str) -> None:
    memory = Memory(2)
    bench = PartBench(
        PARTS["8 bits"],
        {"job": JOBS * 2},
        pauses={slow: [1] * 9 + [0], "job": 0.3},
        partners=[reader(memory, BEAT_BYTES)],
    )
    bench.check(lambda inputs: golden(memory, inputs["job"], FORMATS["8 bits"]))


@pytest.mark.parametrize("name", ["8 bits", "4 bits, scales"])
def test_tiles_between_sinks_and_window_are_left_out(name: str) -> None:
    memory = Memory()
    bench = PartBench(PARTS[name], {"job": JUMPS}, pauses={"request": 0.3}, partners=[reader(memory, BEAT_BYTES)])
    bench.check(lambda inputs: golden(memory, inputs["job"], FORMATS[name]))


def test_a_request_in_every_cycle() -> None:
    memory = Memory()
    job = {"keys": 0, "values": 64, "heads": {"query_head": 4, "value_head": 4, "tiles": 9}, "jump": NO_JUMP}
    bench = PartBench(PARTS["8 bits"], {"job": [job]}, partners=[reader(memory, BEAT_BYTES)])
    cycles = bench.check(lambda inputs: golden(memory, inputs["job"], FORMATS["8 bits"])).cycles["request"]
    assert cycles == list(range(cycles[0], cycles[0] + 18))
