"""When control signals reach the PEs, and how a tile's results leave."""

import random

import pytest

from einloom.hw.array.control import ControlPipeline, Drain
from einloom.hw.pe.timing import Timing
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import now_and_then

TIMINGS = {
    "scales": Timing(accumulate=2, capture=3, align=0, scale_bits=8),
    "aligned": Timing(accumulate=4, capture=6, align=1, scale_bits=8),
    "no scales": Timing(accumulate=2, capture=3, align=0, scale_bits=0),
    "rows that look": Timing(accumulate=5, capture=6, align=0, scale_bits=8, enter=3),
}
BLOCK = 9  # terms, at least those of the dequantiser


def issues(seed: int) -> list[dict[str, int]]:
    """Tiles of one to three blocks, with cycles without a term here and there."""
    rng, found = random.Random(seed), []
    for _ in range(6):
        blocks = rng.randint(1, 3)
        for block in range(blocks):
            for term in range(BLOCK):
                while rng.random() < 0.2:
                    found.append(dict.fromkeys(("valid", "bsig", "first", "block_last", "tile_first", "tile_last"), 0))
                last = term == BLOCK - 1
                found.append({
                    "valid": 1,
                    "bsig": rng.getrandbits(3),
                    "first": int(term == 0),
                    "block_last": int(last),
                    "tile_first": int(block == 0),
                    "tile_last": int(last and block == blocks - 1),
                })
    return found


@pytest.mark.parametrize("name", TIMINGS)
def test_each_signal_comes_as_late_as_the_timing_says(name: str) -> None:
    timing, given = TIMINGS[name], issues(3)
    rng = random.Random(4)
    cycles = len(given) + 25
    shift = [rng.getrandbits(1) for _ in range(cycles)]
    expected = [{"shift": shift[n]} for n in range(cycles)]
    for n, issue in enumerate(given):
        at = expected[n + timing.accumulate]
        starts = issue["first"] and (timing.scale_bits > 0 or issue["tile_first"])
        at |= {"bsig": issue["bsig"], "accumulate": issue["valid"], "first": int(starts)}
        if timing.enter is not None:
            expected[n + timing.enter] |= {
                "enter": issue["valid"],
                "renew": int(issue["first"] and issue["tile_first"]),
            }
        if issue["valid"] and issue["block_last"]:
            expected[n + timing.capture]["capture"] = 1
            if timing.scale_bits:
                expected[n + timing.capture + 1]["restart"] = issue["tile_first"]
                for bit in range(timing.scale_bits):
                    expected[n + timing.capture + timing.align + 1 + bit]["dequantise"] = 1
        if issue["valid"] and issue["tile_last"]:
            expected[n + timing.load]["load"] = 1
    nothing = dict.fromkeys(given[0], 0)
    bench = PartBench(ControlPipeline(timing), held={"issue": [*given, nothing], "shift": shift}, tail=0)
    bench.check(lambda _: {"control": expected})


@pytest.mark.parametrize("chance", [1.0, 0.4], ids=["full-rate", "paused"])
def test_a_tiles_results_leave_row_by_row(chance: float) -> None:
    """Tiles of different numbers of tokens; a tile's last term is issued when the one before has left."""
    rows, load_after = 4, 5
    tiles, ready = [4, 1, 3, 2], now_and_then(chance)
    taken: list[int] = []
    started: list[int] = []
    shifts: list[int] = []

    def around(cycle: Cycle) -> None:
        if cycle["valid"] and cycle["ready"]:
            taken.append(cycle.number)
        if cycle["shift"]:
            shifts.append(cycle.number)
        if cycle["start"]:
            started.append(cycle.number)
        free = not cycle["busy"] and not cycle["start"] and len(started) < len(tiles)
        cycle.set("start", int(free))
        cycle.set("tokens", tiles[len(started)] if free else 0)
        cycle.set("load", int(bool(started) and cycle.number == started[-1] + load_after))
        cycle.set("ready", ready(cycle.number))

    bench = PartBench(Drain(rows), partners=[around], until=lambda: len(taken) == sum(tiles), watch=["busy"], tail=5)
    busy = bench.check(lambda _: {}).traces["busy"]
    assert shifts == taken
    assert busy[-1] == 0
    for n, start in enumerate(started):
        mine = taken[sum(tiles[:n]) : sum(tiles[: n + 1])]
        assert mine[0] > start + load_after
        assert all(busy[start + 1 : mine[-1] + 1])
        if chance == 1.0:
            assert mine == list(range(mine[0], mine[0] + tiles[n]))
