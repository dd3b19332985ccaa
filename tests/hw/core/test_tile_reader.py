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
RECENT = CacheFormat(4, ROWS, 8 * BEAT_BYTES, token_scales=True, recent=2)
NUMBERS = [(0, 0, 1), (0, 0, 3), (0, 0, 8), (0, 5, 9), (1, 1, 3), (1, 3, 5), (2, 4, 9)]
"""Of recent tiles' jobs: sinks, tiles that are left out, and the last tile."""
PARTS = {name: TileReader(cache, MAX_HEAD, parity=False) for name, cache in FORMATS.items()}
RECENT_READER = TileReader(RECENT, MAX_HEAD, parity=False)
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
        {"job": JOBS},
        pauses={slow: [1] * 5 + [0], "job": 0.3},
        partners=[reader(memory, BEAT_BYTES)],
    )
    bench.check(lambda inputs: golden(memory, inputs["job"], FORMATS["8 bits"]))


@pytest.mark.parametrize("name", ["8 bits", "4 bits, scales"])
def test_tiles_between_sinks_and_window_are_left_out(name: str) -> None:
    memory = Memory()
    bench = PartBench(PARTS[name], {"job": JUMPS}, pauses={"request": 0.3}, partners=[reader(memory, BEAT_BYTES)])
    bench.check(lambda inputs: golden(memory, inputs["job"], FORMATS[name]))


def recent_job(sinks: int, left_out: int, last: int) -> dict:
    """Jumps from a window's sinks, or from the first tile, are `left_out` tiles, and one more behind sinks."""
    sizes = {"keys": 8, "values": 16}
    jump = {kind: (left_out + (sinks > 0)) * RECENT.tile_bytes(size) // BEAT_BYTES for kind, size in sizes.items()}
    return {
        "keys": 100,
        "values": 900,
        "heads": {
            "query_head": 8,
            "value_head": 16,
            "tiles": last + 1 - left_out,
            "visited": {"sinks": sinks, "left_out": left_out, "last": last},
        },
        "jump": {"sinks": sinks, **(jump if left_out else {"keys": 0, "values": 0})},
    }


def golden_recent(memory: Memory, jobs: list[dict]) -> dict[str, list]:
    """Tiles by their numbers: the last two and the first from their places, the others from behind these."""
    streams: dict[str, list] = {"request": [], "keys": [], "values": []}
    for job in jobs:
        sinks, left_out, last = job["heads"]["visited"].values()
        numbers = [n for n in range(last + 1) if not sinks <= n < sinks + left_out]
        sizes = {"keys": job["heads"]["query_head"], "values": job["heads"]["value_head"]}
        for kind, at in visited(len(numbers)):
            number, head = numbers[at], sizes[kind]
            recent, wide = number == 0 or number >= last - 1, RECENT.recent_tile_bytes(head)
            size = wide if recent else RECENT.tile_bytes(head)
            offset = job[kind] * BEAT_BYTES
            offset += (number % 2 if number else 2) * wide if recent else 3 * wide + number * size
            streams["request"].append({"offset": offset, "beats": size // BEAT_BYTES})
            raw = np.array([memory.byte(offset + n) for n in range(size)], np.uint8)
            rows = read_tiles(raw[None], RECENT, recent=recent).T
            streams[kind] += [int.from_bytes(row.astype("<i2").tobytes(), "little") for row in rows]
    return streams


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
def test_recent_tiles_come_with_whole_codes(pause: float) -> None:
    memory = Memory()
    bench = PartBench(
        RECENT_READER,
        {"job": [recent_job(*numbers) for numbers in NUMBERS]},
        pauses=dict.fromkeys(("job", "request", "beats", "keys", "values"), pause),
        partners=[reader(memory, BEAT_BYTES)],
    )
    bench.check(lambda inputs: golden_recent(memory, inputs["job"]))


RING = CacheFormat(8, ROWS, 8 * BEAT_BYTES, token_scales=False, ring=True)
RING_PARTS = {"ring": TileReader(RING, MAX_HEAD, parity=False)}
RINGS = [(0, 0, 1, 1), (0, 3, 6, 3), (2, 1, 9, 2), (3, 0, 2, 4), (1, 7, 12, 4), (0, 0, 3, 0), (2, 0, 4, 0)]
"""Tiles of sinks, the place behind them, tiles in all, and the field `ring`."""


def ring_job(sinks: int, place: int, tiles: int, ring: int) -> dict:
    """Without a ring the jump behind the sinks is one of five tiles."""
    sizes = {"keys": 8, "values": 16}
    jump = {kind: (place if ring else 5) * RING.tile_bytes(size) // BEAT_BYTES for kind, size in sizes.items()}
    return {
        "keys": 100,
        "values": 2000,
        "heads": {"query_head": 8, "value_head": 16, "tiles": tiles},
        "jump": {"sinks": sinks, **jump},
        "ring": ring,
        "place": place,
        **{f"ring_{kind}": (RING.tile_bytes(size) // BEAT_BYTES << ring) >> 1 for kind, size in sizes.items()},
    }


def golden_ring(memory: Memory, jobs: list[dict]) -> dict[str, list]:
    """Sinks behind the ring, then the ring from `place` on, as often around as there are tiles."""
    streams: dict[str, list] = {"request": [], "keys": [], "values": []}
    for job in jobs:
        sinks, count = job["jump"]["sinks"], 1 << job["ring"] >> 1
        sizes = {"keys": job["heads"]["query_head"], "values": job["heads"]["value_head"]}
        for kind, number in visited(job["heads"]["tiles"]):
            if job["ring"]:
                at = count + number if number < sinks else (job["place"] + number - sinks) % count
            else:
                at = number if number < sinks else max(sinks - 1, 0) + 5 + number - sinks
            size = RING.tile_bytes(sizes[kind])
            offset = job[kind] * BEAT_BYTES + at * size
            streams["request"].append({"offset": offset, "beats": size // BEAT_BYTES})
            streams[kind] += tile(memory, offset, sizes[kind], RING)
    return streams


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
def test_a_ring_is_read_behind_its_sinks(pause: float) -> None:
    memory = Memory()
    bench = PartBench(
        RING_PARTS["ring"],
        {"job": [ring_job(*numbers) for numbers in RINGS]},
        pauses=dict.fromkeys(("job", "request", "beats", "keys", "values"), pause),
        partners=[reader(memory, BEAT_BYTES)],
    )
    bench.check(lambda inputs: golden_ring(memory, inputs["job"]))


def test_a_request_in_every_cycle() -> None:
    memory = Memory()
    job = {"keys": 0, "values": 64, "heads": {"query_head": 4, "value_head": 4, "tiles": 9}, "jump": NO_JUMP}
    bench = PartBench(PARTS["8 bits"], {"job": [job]}, partners=[reader(memory, BEAT_BYTES)])
    cycles = bench.check(lambda inputs: golden(memory, inputs["job"], FORMATS["8 bits"])).cycles["request"]
    assert cycles == list(range(cycles[0], cycles[0] + 18))
