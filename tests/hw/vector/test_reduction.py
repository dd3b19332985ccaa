"""A reduction's tail: every word of every lane is in the total once, with the adder as a list of what it has added."""

from collections import Counter

import pytest

from einloom.hw.vector import float_adder
from einloom.hw.vector.lane import LOOP_DELAY, Left, Right
from einloom.hw.vector.reduction import ReductionTail, lane_steps, shuffled
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.isa import REDUCE_PARTIALS

PARTS = {lanes: ReductionTail(lanes) for lanes in (2, 4, 16)}
LIMIT = 120


def tail(lanes: int, words: int, *, is_sum: int, enable: list[int] | int = 1) -> list[dict[str, int]]:
    """The tail's outputs in each cycle behind the last word."""
    names = ("active", "fill", "left", "right", "fold", "last")
    held = {"start": [1, 0], "enable": enable, "sum": is_sum, "word": (words - 1) % REDUCE_PARTIALS}
    bench = PartBench(PARTS[lanes], held=held, watch=names, cycles=LIMIT, tail=0)
    traces = bench.check(lambda _: {}).traces
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(traces[name] for name in names), strict=True)]
    return [row for row in rows[1:] if row["active"]]


@pytest.mark.parametrize("words", [1, 2, 7, 8, 9, 16, 21])
@pytest.mark.parametrize("lanes", PARTS)
def test_a_sum_has_every_word_of_every_lane_once(lanes: int, words: int) -> None:
    rows = tail(lanes, words, is_sum=1)
    assert [row["last"] for row in rows] == [0] * (len(rows) - 1) + [1]
    sums: list[list[Counter]] = [[] for _ in range(lanes)]  # what went into each lane's adder, cycle by cycle

    def ago(lane: int, cycles: int) -> Counter:
        """The adder's output that many cycles ago."""
        at = len(sums[lane]) - float_adder.LATENCY - cycles
        return sums[lane][at] if at >= 0 else Counter({"stale": 1})

    for n in range(words + len(rows)):
        row = rows[n - words] if n >= words else None
        partial = [Counter() if n < REDUCE_PARTIALS else ago(lane, LOOP_DELAY) for lane in range(lanes)]
        now = []
        for lane, (low, high) in enumerate(shuffled(lanes)):
            if row is None:
                now.append(Counter({(lane, n): 1}) + partial[lane])
            elif row["fill"]:
                now.append(partial[lane])
            else:
                left = {
                    Left.MINUS_ZERO.value: Counter(),
                    Left.AGO_1.value: ago(lane, 1),
                    Left.AGO_2.value: ago(lane, 2),
                    Left.AGO_4.value: ago(lane, 4),
                    Left.LOW.value: ago(low, 0),
                }[row["left"]]
                right = {
                    Right.ZERO.value: Counter(),
                    Right.LAST.value: ago(lane, 0),
                    Right.HIGH.value: ago(high, 0),
                }[row["right"]]
                now.append(left + right)
        for lane in range(lanes):
            sums[lane].append(now[lane])
    everything = Counter({(lane, n): 1 for lane in range(lanes) for n in range(words)})
    assert [sums[lane][-1] for lane in range(lanes)] == [everything] * lanes


@pytest.mark.parametrize("lanes", PARTS)
def test_the_largest_magnitude_takes_a_cycle_for_each_halving_of_the_lanes(lanes: int) -> None:
    rows = tail(lanes, 5, is_sum=0)
    assert len(rows) == lane_steps(lanes)
    assert all(row["fold"] for row in rows)
    assert [row["last"] for row in rows] == [0] * (len(rows) - 1) + [1]


def test_the_tail_waits_while_its_slots_are_not_taken() -> None:
    enable = [1, *[0, 1] * 60]
    steady, halting = tail(4, 3, is_sum=1), tail(4, 3, is_sum=1, enable=enable)
    assert halting[1::2] == steady
