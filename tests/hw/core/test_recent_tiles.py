"""Which tiles of a job are recent, and their places, against the definition in spec/cache_format.py."""

import random

import pytest

from einloom.hw.core.recent_tiles import RecentTiles
from einloom.hw.part import Part
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.cache_format import CacheFormat

JOBS = 30


def job(rng: random.Random) -> dict[str, int]:
    """Some with a window: it begins behind the sinks, and its last tile is the job's."""
    last = rng.choice([rng.randrange(4), rng.randrange(12)])
    sinks = rng.randrange(last + 1)
    left_out = rng.choice([0, rng.randrange(last + 1 - sinks)])
    return {"sinks": sinks if left_out else 0, "left_out": left_out, "last": last}


PARTS: dict[int, Part] = {recent: RecentTiles(recent) for recent in (1, 2, 8)}


@pytest.mark.parametrize("recent", PARTS)
def test_the_first_and_the_last_tiles_are_recent(recent: int) -> None:
    cache, rng = CacheFormat(4, 8, 64, True, recent), random.Random(recent)
    jobs = [job(rng) for _ in range(JOBS)]
    visits = []
    for n, now in enumerate(jobs):
        gap = range(now["sinks"], now["sinks"] + now["left_out"])
        visits += [(n, tile) for tile in range(now["last"] + 1) if tile not in gap]
    steps, found = iter(range(len(visits))), list[tuple[bool, int | None]]()
    given, shown = False, False  # a step in the present cycle; one in the cycle before

    def walk(cycle: Cycle) -> None:
        """The next tile, or the next job, in some of the cycles."""
        nonlocal given, shown
        if shown:
            found.append((bool(cycle["is_recent"]), cycle["slot"] if cycle["is_recent"] else None))
        shown, at = given, next(steps, None) if rng.random() < 0.7 else None
        given = at is not None
        starts = given and (at == 0 or visits[at][0] != visits[at - 1][0])
        cycle.set("start", int(starts))
        cycle.set("advance", int(given and not starts))
        if starts:
            cycle.set("visited", jobs[visits[at][0]])

    bench = PartBench(PARTS[recent], partners=[walk], cycles=3 * len(visits) + 20)
    bench.check(lambda _: {})
    expected = []
    for n, tile in visits:
        is_recent = cache.is_recent(tile, jobs[n]["last"])
        expected.append((is_recent, cache.recent_place(tile) if is_recent else None))
    assert found == expected
