"""Beats side by side in a deep queue."""

import random

import pytest

from einloom.hw.buffers.beat_queue import BeatQueue
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.bench.part_session import PATIENT
from tests.hw.around import PAUSES

BITS = 16
PARTS = {shape: BeatQueue(BITS, *shape) for shape in ((1, 8), (2, 16), (4, 256))}
"""(beats in a group, beats in the queue)"""


def words(count: int) -> list[int]:
    return [random.Random(n).getrandbits(BITS) for n in range(count)]


def grouped(beats: list[int], at_once: int) -> list[int]:
    return [
        sum(beat << BITS * k for k, beat in enumerate(beats[n : n + at_once]))
        for n in range(0, len(beats) - at_once + 1, at_once)
    ]


@pytest.mark.parametrize("pause", [*PAUSES.values(), PATIENT], ids=[*PAUSES, PATIENT])
@pytest.mark.parametrize("shape", PARTS)
def test_groups_have_their_beats_in_order(shape: tuple[int, int], pause: float | str) -> None:
    bench = PartBench(PARTS[shape], {"i": words(100)}, pauses={"i": pause, "o": pause})
    run = bench.check(lambda inputs: {"o": grouped(inputs["i"], shape[0])})
    if not pause:
        assert [b - a for a, b in zip(run.cycles["o"], run.cycles["o"][1:], strict=False)] == [shape[0]] * (
            len(run.cycles["o"]) - 1
        )


def test_what_was_queued_leaves_a_group_a_cycle() -> None:
    wait = [1] * 200 + [0] * 200
    bench = PartBench(PARTS[4, 256], {"i": words(160)}, pauses={"o": wait})
    cycles = bench.check(lambda inputs: {"o": grouped(inputs["i"], 4)}).cycles["o"]
    assert cycles == list(range(200, 240))


@pytest.mark.parametrize("shape", PARTS)
def test_a_queue_that_was_full_has_lost_nothing(shape: tuple[int, int]) -> None:
    at_once, beats = shape
    bench = PartBench(PARTS[shape], {"i": words(2 * beats)}, pauses={"o": [1] * 3 * beats + [0] * 9 * beats})
    bench.check(lambda inputs: {"o": grouped(inputs["i"], at_once)})


def test_a_queue_without_room_for_what_is_on_its_way_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 3 groups of 4 beats, not 12 beats"):
        BeatQueue(BITS, 4, 12)


def test_a_started_group_waits_for_its_beats() -> None:
    bench = PartBench(PARTS[4, 256], {"i": words(7)})
    bench.check(lambda inputs: {"o": grouped(inputs["i"], 4)})
