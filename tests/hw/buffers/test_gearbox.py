"""Beats cut into words of several sizes."""

import random

import pytest

from einloom.hw.buffers.gearbox import Gearbox
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import now_and_then

SHAPES = {"narrow": (32, (24, 40, 8)), "wide": (64, (24,)), "long": (16, (80, 48)), "same": (32, (32,))}
PARTS = {name: Gearbox(*shape) for name, shape in SHAPES.items()}
ALIGN = -1


def plan(shape: str, seed: int) -> list[int]:
    """Sizes of 120 words by index, and now and then the rest of a beat dropped."""
    rng = random.Random(seed)
    _, sizes = SHAPES[shape]
    return [ALIGN if rng.random() < 0.1 else rng.randrange(len(sizes)) for _ in range(120)]


def golden(shape: str, steps: list[int], beats: list[int]) -> tuple[list[int], int]:
    """(the words, and the bits that are used up)"""
    beat_bits, sizes = SHAPES[shape]
    whole = sum(beat << n * beat_bits for n, beat in enumerate(beats))
    words, at = [], 0
    for step in steps:
        if step == ALIGN:
            at = -(-at // beat_bits) * beat_bits
        else:
            words.append(whole >> at & (1 << sizes[step]) - 1)
            at += sizes[step]
    return words, at


def following(cycle: Cycle, sizes: int) -> int:
    """What `coming` says of the next cycle."""
    return cycle[f"coming_{sizes + 1 if cycle['align'] else 1 + cycle['select'] if cycle['take'] else 0}"]


@pytest.mark.parametrize(("pause", "chance"), [(0.0, 1.0), (0.6, 1.0), (0.0, 0.4), (0.5, 0.5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_words_follow_each_other_without_gaps(shape: str, pause: float, chance: float) -> None:
    beat_bits, sizes = SHAPES[shape]
    rng, steps, takes = random.Random(1), plan(shape, 3), now_and_then(chance)
    beats = [rng.getrandbits(beat_bits) for _ in range(2 + 120 * max(sizes) // beat_bits)]
    expected, used = golden(shape, steps, beats)
    words: list[int] = []
    done = 0
    coming = 0

    def consumer(cycle: Cycle) -> None:
        """Takes the word of the planned size when it is there, or drops the rest of a beat."""
        nonlocal done, coming
        if cycle.number:
            # `coming` said in the cycle before which sizes are there now.
            assert cycle["available"] == coming >> cycle["select"] & 1
        coming = following(cycle, len(sizes))
        if cycle["take"]:
            words.append(cycle["word"] & (1 << sizes[cycle["select"]]) - 1)
        done += cycle["take"] or cycle["align"]
        step = steps[done] if done < len(steps) else None
        if step is not None and step != ALIGN:
            cycle.set("select", step)
        there = step is not None and step != ALIGN and coming >> step & 1
        cycle.set("take", int(bool(there and takes(cycle.number))))
        cycle.set("align", int(step == ALIGN))

    bench = PartBench(
        PARTS[shape],
        {"beats": beats},
        pauses={"beats": pause},
        partners=[consumer],
        optional=["beats"],
        until=lambda: done == len(steps),
    )
    bench.check(lambda _: {})
    for n, (found, wanted) in enumerate(zip(words, expected, strict=True)):
        assert found == wanted, f"word {n} of size {sizes[[s for s in steps if s != ALIGN][n]]}"
    assert used <= len(beats) * beat_bits


@pytest.mark.parametrize("shape", ["same", "long"])
def test_a_word_is_there_the_cycle_after_its_last_beat(shape: str) -> None:
    """Also where no beat follows."""
    beat_bits, sizes = SHAPES[shape]
    count = sizes[0] // beat_bits
    bench = PartBench(PARTS[shape], {"beats": [7] * count}, watch=["available"], cycles=count + 4)
    run = bench.check(lambda _: {"available": [*[0] * count, 1, 1, 1]})
    assert run.traces["available"][-1] == 1


def test_a_beat_a_cycle_is_used_up() -> None:
    """Words as large as beats, at a place that is none of theirs: no cycle without one."""
    part = Gearbox(32, (24, 32))
    cycles: list[int] = []

    def consumer(cycle: Cycle) -> None:
        if cycle["take"]:
            cycles.append(cycle.number)
        select, coming = int(bool(cycles)), following(cycle, 2)
        cycle.set("select", select)
        cycle.set("take", coming >> select & 1)

    bench = PartBench(part, {"beats": list(range(60))}, partners=[consumer], until=lambda: len(cycles) >= 50)
    bench.check(lambda _: {})
    assert cycles[1:50] == list(range(cycles[1], cycles[1] + 49))
