"""Integers to the nearest float32, words in order, and the end of an instruction."""

import numpy as np
import pytest

from einloom.hw.core.float_words import QUEUE, FloatWords
from einloom.hw.vector.float_convert import TO_FLOAT_LATENCY
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.bench.part_session import PATIENT
from tests.hw.around import PAUSES, Events

PARTS = {shape: FloatWords(*shape) for shape in ((1, 40), (4, 26))}


def words(lanes: int, bits: int) -> list[dict[str, int]]:
    """Extremes, ties between two floats, and random integers; every fifth word is the last of an instruction."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    rng = np.random.default_rng(bits)
    some = [0, 1, -1, low, high, (1 << 24) + 1, (1 << 24) + 3, -(1 << 24) - 1, high - 1, low + 1, 1 << 23, 5]
    numbers = np.array([*some, *rng.integers(low, high, 28)])
    rows = numbers.reshape(-1, lanes).tolist()
    return [
        {
            "integers": sum((n & (1 << bits) - 1) << bits * i for i, n in enumerate(row)),
            "address": (0xFFF0 + k) % (1 << 16),
            "last": int(k % 5 == 4),
        }
        for k, row in enumerate(rows)
    ]


def floats(word: dict[str, int], lanes: int, bits: int) -> dict[str, int]:
    """NumPy rounds integers below 2^53 to the nearest float32, ties to even."""
    raw = [word["integers"] >> bits * i & (1 << bits) - 1 for i in range(lanes)]
    numbers = np.array([n - (1 << bits) if n >> bits - 1 else n for n in raw])
    data = int.from_bytes(numbers.astype(np.float32).tobytes(), "little")
    return {"address": word["address"], "data": data}


@pytest.mark.parametrize("pause", [*PAUSES.values(), PATIENT], ids=[*PAUSES, PATIENT])
@pytest.mark.parametrize("shape", PARTS)
def test_integers_become_the_nearest_floats(shape: tuple[int, int], pause: float | str) -> None:
    given, events = words(*shape), Events("done")
    bench = PartBench(
        PARTS[shape], {"integers": given}, pauses={"integers": pause, "words": pause}, partners=[events], limit=1_000
    )
    run = bench.check(lambda inputs: {"words": [floats(word, *shape) for word in inputs["integers"]]})
    assert events.cycles["done"] == [run.cycles["words"][n] for n, word in enumerate(given) if word["last"]]
    if not pause:
        assert run.cycles["words"] == [TO_FLOAT_LATENCY + 1 + n for n in range(len(given))]


def test_no_word_is_lost_when_the_memory_waits_longer_than_the_queue_is() -> None:
    shape = (4, 26)
    wait = [1] * (3 * QUEUE) + [0] * 3
    bench = PartBench(PARTS[shape], {"integers": words(*shape)}, pauses={"words": wait})
    bench.check(lambda inputs: {"words": [floats(word, *shape) for word in inputs["integers"]]})
