"""The order in which an attention job visits its tiles of keys and values."""

import pytest

from einloom.hw.core.tile_order import TileOrder
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import now_and_then

PART = TileOrder()


def order(tiles: int) -> list[tuple[int, int]]:
    """(is values, is the last) of each tile: values follow their keys by one tile."""
    kinds = [0]
    for n in range(1, tiles):
        kinds += [0, 1] if n else []
    kinds.append(1)
    return [(kind, int(n == len(kinds) - 1)) for n, kind in enumerate(kinds)]


@pytest.mark.parametrize("chance", [1.0, 0.4], ids=["full-rate", "paused"])
def test_values_follow_their_keys_by_one_tile(chance: float) -> None:
    jobs = [1, 2, 3, 1, 7, (1 << 25) - 1]
    found: list[list[tuple[int, int]]] = []
    pause = now_and_then(chance)

    def walk(cycle: Cycle) -> None:
        """Starts a job when none is active, and goes on now and then, but 40 tiles into a long one at most."""
        start, active = cycle["start"], cycle["active"]
        if cycle["advance"]:
            found[-1].append((cycle["is_values"], cycle["last"]))
        ends = cycle["advance"] and cycle["last"]
        goes_on = (active or start) and not ends
        cycle.set("advance", int(bool(goes_on and pause(cycle.number) and len(found[-1]) < 40)))
        starts = not active and not start and len(found) < len(jobs)
        cycle.set("start", int(starts))
        if starts:
            cycle.set("tiles", jobs[len(found)])
            found.append([])

    PartBench(PART, partners=[walk], cycles=400).check(lambda _: {})
    assert [len(tiles) for tiles in found[:-1]] == [2 * job for job in jobs[:-1]]
    assert found == [order(min(job, 30))[: len(tiles)] for job, tiles in zip(jobs, found, strict=True)]
    assert len(found[-1]) == 40
