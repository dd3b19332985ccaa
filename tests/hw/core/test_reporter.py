"""A job's report as bytes in memory."""

import random

import pytest

from einloom.hw.core.reporter import Reporter
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import PAUSES, Writer

PARTS = {shape: Reporter(*shape) for shape in ((3, 64), (5, 256), (1, 512))}


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("shape", PARTS)
def test_numbers_lie_behind_each_other_low_byte_first(shape: tuple[int, int], pause: float) -> None:
    numbers, beat_bits = shape
    beat = beat_bits // 8
    contents = [random.Random(n).getrandbits(64) for n in range(numbers)]
    beats = -(-8 * numbers // beat)
    writer, places, done = Writer(beat), [3, (1 << 40) // beat - beats], []

    def starts(cycle: Cycle) -> None:
        """`start` is high up to `done`, twice."""
        if cycle["done"]:
            done.append(cycle.number)
        cycle.set("start", int(cycle.number > 2 and not cycle["done"] and len(done) < len(places)))
        if len(done) < len(places):
            cycle.set("beat", places[len(done)])

    raw = sum(n << 64 * k for k, n in enumerate(contents))
    bench = PartBench(
        PARTS[shape],
        held={"contents": raw},
        pauses={"request": pause, "beats": pause},
        partners=[writer, starts],
    )
    mask = (1 << beat_bits) - 1
    words = [{"data": raw >> beat_bits * n & mask, "strobe": (1 << beat) - 1} for n in range(beats)]
    run = bench.check(lambda _: {"request": [{"offset": p * beat, "beats": beats} for p in places], "beats": words * 2})
    assert len(done) == 2
    if not pause:
        # `start` is set from cycle 4 on, the request is a cycle later, and the beats follow.
        assert run.cycles["request"][0] == 5
        assert run.cycles["beats"][:beats] == list(range(6, 6 + beats))
