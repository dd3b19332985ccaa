"""Streams merged into one: no word is lost or doubled, each stream's come in its order, and at the stated rate."""

import random

import pytest
from hypothesis import strategies as st

from einloom.hw.buffers.stream_arbiter import StreamArbiter
from einloom.sim.bench.part_bench import PartBench
from tests.properties import given

WORDS = 40
BITS = 16


def words_of(count: int, each: int) -> dict[str, list[int]]:
    """`each` words for each stream, none of them twice: the stream's number is in the upper half."""
    return {f"inputs_{n}": [n << 8 | word for word in range(each)] for n in range(count)}


@given(count=st.integers(1, 9), seed=st.integers(0, 99), pause=st.sampled_from([0.0, 0.3, 0.8]))
def test_every_word_comes_once_and_each_stream_in_its_order(count: int, seed: int, pause: float) -> None:
    inputs = words_of(count, random.Random(seed).randint(1, WORDS // count + 1))
    pauses = dict.fromkeys((*inputs, "o"), pause)
    wanted = {"o": sum(map(len, inputs.values()))}
    found = PartBench(StreamArbiter(BITS, count), inputs, pauses=pauses, seed=seed).run(wanted).outputs["o"]
    for n, expected in enumerate(inputs.values()):
        assert [word for word in found if word >> 8 == n] == expected, f"stream {n} of {count}, seed {seed}"


@pytest.mark.parametrize(("count", "distance"), [(1, 2), (2, 1), (5, 1)])
def test_a_word_comes_each_cycle_while_two_streams_have_one(count: int, distance: int) -> None:
    taken = PartBench(StreamArbiter(BITS, count), words_of(count, WORDS)).run({"o": count * WORDS}).cycles["o"]
    assert taken[: WORDS // 2] == list(range(taken[0], taken[0] + distance * WORDS // 2, distance))
