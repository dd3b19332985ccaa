"""Which tiles are left out, and how far apart those around them are in memory, against the mask of attention."""

import random

import numpy as np
import pytest

from einloom.hw.core.tile_skip import TileSkip
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.attention_format import Mask
from einloom.spec.cache_format import CacheFormat

BEAT_BITS = 128
JOBS = 40
SLOWEST = 16
"""Cycles from a job to its jump, at most."""


def job(rng: random.Random) -> dict[str, int]:
    first = rng.choice([rng.randrange(40), rng.randrange(500), (1 << 16) - 9])
    window = rng.choice([0, 1, rng.randrange(1, 60), first, first + 1, first + 2, (1 << 24) - 1])
    return {
        "first": first,
        "last": first + rng.randrange(8),
        "window": window & (1 << 24) - 1,
        "sinks": rng.choice([0, 0, 1, rng.randrange(70), (1 << 14) - 1]),
        "query_head": 32 * rng.randrange(1, 9),
        "value_head": 32 * rng.randrange(1, 9),
    }


def golden(job: dict[str, int], cache: CacheFormat) -> tuple[int, int, int, int]:
    """Tiles, those before the jump, and the jumps of keys and of values in beats."""
    mask = Mask(job["last"] + 1, causal=True, window=job["window"], sinks=job["sinks"])
    tiles = mask.tiles(np.array([job["first"], job["last"]]), cache.rows)
    steps = np.diff([0, *tiles]).tolist()  # the first from tile 0, where memory begins
    far = [n for n, step in enumerate(steps) if step != (n > 0)]
    at = far[0] if far else None
    beats = [cache.tile_bytes(job[name]) * 8 // BEAT_BITS for name in ("query_head", "value_head")]
    jump = steps[at] if at is not None else None
    return len(tiles), at, *(None if jump is None else jump * size for size in beats)


def outputs(cache: CacheFormat, jobs: list[dict[str, int]]) -> list[tuple[int, int, int, int, int]]:
    """Tiles, sinks, the jumps of keys and of values, and the place in the ring, for each job."""
    found: list[tuple[int, int, int, int, int]] = []
    rng, waited = random.Random(cache.rows), list[int]()
    cycles = 0

    def walk(cycle: Cycle) -> None:
        """Offers one job after the other; each is taken some cycles after it is ready."""
        nonlocal cycles
        valid, taken = cycle["valid"], cycle["taken"]
        cycles = 0 if taken or not valid else cycles + 1
        if taken:
            cycle.set("taken", 0)
        elif valid and cycle["ready"] and rng.random() < 0.7:
            jump = cycle["jump"]
            place = cycle["ring_place"] if cache.ring else 0
            found.append((cycle["tiles"], jump["sinks"], jump["keys"], jump["values"], place))
            waited.append(cycles)
            cycle.set("taken", 1)
            return
        if (taken or not valid) and len(found) < len(jobs):
            cycle.set("valid", 1)
            for name, value in jobs[len(found)].items():
                cycle.set(name, value)
        elif taken:
            cycle.set("valid", 0)

    bench = PartBench(TileSkip(cache), partners=[walk], until=lambda: len(found) == len(jobs))
    bench.check(lambda _: {})
    assert max(waited) <= SLOWEST + 8
    return found


@pytest.mark.parametrize(
    ("rows", "cache_bits", "scales", "ring"),
    [(4, 8, False, False), (16, 8, False, False), (8, 4, False, False), (1, 8, False, False), (4, 4, True, True)],
)
def test_tiles_and_jumps_are_those_of_the_mask(rows: int, cache_bits: int, scales: bool, ring: bool) -> None:
    cache = CacheFormat(cache_bits, rows, BEAT_BITS, scales, ring=ring)
    rng = random.Random(rows)
    jobs = [job(rng) for _ in range(JOBS)]
    for (tiles, sinks, keys, values, _), given in zip(outputs(cache, jobs), jobs, strict=True):
        expected = golden(given, cache)
        assert tiles == expected[0], given
        if expected[1] is not None:
            assert (sinks, keys, values) == expected[1:], given
        else:  # a jump, if there is one, is a step like the others
            beats = [cache.tile_bytes(given[name]) * 8 // BEAT_BITS for name in ("query_head", "value_head")]
            step = [size * (sinks > 0) for size in beats]
            assert [keys, values] == step, given


@pytest.mark.parametrize("rows", [1, 4, 16])
def test_a_ring_is_read_from_the_place_of_the_windows_first_tile(rows: int) -> None:
    cache = CacheFormat(8, rows, BEAT_BITS, token_scales=False, ring=True)
    rng = random.Random(rows)
    jobs = []
    for _ in range(JOBS):
        given = {**job(rng), "window": rng.randrange(1, 60), "sinks": rng.choice([0, 1, rng.randrange(70)])}
        tokens = given["last"] + 1 - given["first"]
        jobs.append({**given, "ring": cache.ring_for(given["window"], tokens).bit_length()})
    for (tiles, sinks, keys, values, place), given in zip(outputs(cache, jobs), jobs, strict=True):
        mask = Mask(given["last"] + 1, causal=True, window=given["window"], sinks=given["sinks"])
        visited = mask.tiles(np.array([given["first"], given["last"]]), rows)
        assert tiles == len(visited), given
        of_sinks, ring = cache.sink_tiles(given["sinks"]), 1 << given["ring"] >> 1
        assert sinks == of_sinks, given
        if len(visited) > of_sinks:
            assert place == visited[of_sinks] % ring, given
            beats = [cache.tile_bytes(given[name]) * 8 // BEAT_BITS for name in ("query_head", "value_head")]
            assert [keys, values] == [place * size for size in beats], given
        lost = [t for t in visited[of_sinks:] if t + ring <= given["last"] // rows]
        held = {given["last"] - n for n in range(ring * rows)}
        seen = [p for t in lost for p in range(t * rows, (t + 1) * rows) if p > given["first"] - given["window"]]
        assert held.issuperset(seen), given
