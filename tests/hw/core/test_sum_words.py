"""Beats of sums to words of floats, with the addresses of `gemm` in the instruction set."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from einloom.hw.core.sum_words import SumWords
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import PAUSES, Events

SUM_BITS = 26
PRODUCTS = [
    {"base": 100, "stride": 7, "tokens": 3, "tiles": 2},
    {"base": 0xFFFE, "stride": 0, "tokens": 1, "tiles": 1},
    {"base": 5, "stride": 64, "tokens": 1, "tiles": 3},
    {"base": 0, "stride": 1, "tokens": 4, "tiles": 1},
]
PARTS = {shape: SumWords(shape[0], SUM_BITS, shape[1]) for shape in ((4, 4), (8, 2))}


def product(fields: dict[str, int], columns: int, lanes: int, seed: int) -> tuple[list[int], list[dict[str, int]]]:
    """(beats of random sums, the words that they become)."""
    rng = np.random.default_rng(seed)
    beats, words = [], []
    for tile in range(fields["tiles"]):
        for token in range(fields["tokens"]):
            sums = rng.integers(-(1 << SUM_BITS - 1), 1 << SUM_BITS - 1, columns)
            beats.append(sum((int(n) & (1 << SUM_BITS) - 1) << SUM_BITS * i for i, n in enumerate(sums)))
            for n, part in enumerate(sums.reshape(-1, lanes)):
                address = fields["base"] + token * fields["stride"] + tile * (columns // lanes) + n
                data = int.from_bytes(part.astype(np.float32).tobytes(), "little")
                words.append({"address": address % (1 << 16), "data": data})
    return beats, words


def one_after_the_other(products: Sequence[dict[str, int]], beats: Sequence[list[int]]) -> Callable[[Cycle], None]:
    """Starts each product in the cycle behind the end of the one before; its beats come behind its start."""
    left, coming = iter(products), iter(beats)

    def partner(cycle: Cycle) -> None:
        following = next(left, None) if cycle.number == 0 or cycle["done"] else None
        if cycle["start"]:
            cycle.put("sums", *next(coming))
        cycle.set("start", int(following is not None))
        for name, value in (following or {}).items():
            cycle.set(name, value)

    return partner


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("shape", PARTS)
def test_words_lie_where_the_instruction_says(shape: tuple[int, int], pause: float) -> None:
    done = [product(fields, *shape, seed=n) for n, fields in enumerate(PRODUCTS)]
    events = Events("done")
    bench = PartBench(
        PARTS[shape],
        pauses={"sums": pause, "words": pause},
        partners=[one_after_the_other(PRODUCTS, [beats for beats, _ in done]), events],
        limit=1_000,
    )
    run = bench.check(lambda _: {"words": [word for _, words in done for word in words]})
    ends = np.cumsum([len(words) for _, words in done]) - 1
    assert events.cycles["done"] == [run.cycles["words"][n] for n in ends]


@pytest.mark.parametrize("shape", PARTS)
def test_a_word_a_cycle(shape: tuple[int, int]) -> None:
    fields = {"base": 0, "stride": 2, "tokens": 8, "tiles": 2}
    beats, words = product(fields, *shape, seed=9)
    bench = PartBench(PARTS[shape], partners=[one_after_the_other([fields], [beats])])
    cycles = bench.check(lambda _: {"words": words}).cycles["words"]
    assert cycles[-1] - cycles[0] == len(words) - 1
