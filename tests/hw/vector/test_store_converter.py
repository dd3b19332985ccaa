"""A lane's result as it is, or as an integer."""

import numpy as np
import pytest

from einloom.hw.vector.store_converter import LATENCY, StoreConverter
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.golden import vector as golden
from tests.vector_operands import corners, random_numbers


@pytest.mark.parametrize("widths", [(8, 16), (4, 8, 16)])
def test_integers_are_golden_and_words_pass_unchanged(widths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([corners(), random_numbers(rng, 1000)])
    select = rng.integers(len(widths), size=len(values))
    convert = rng.integers(2, size=len(values) + LATENCY)
    expected: list[int | None] = []
    for cycle, converts in enumerate(convert):
        before = cycle - LATENCY
        if converts and before < 0:
            expected.append(None)
        elif converts:
            number = golden.to_integer(golden.floats(values[before : before + 1]), widths[select[before]])[0]
            expected.append(int(number) & 0xFFFFFFFF)
        else:
            expected.append(int(values[min(cycle, len(values) - 1)]))
    held = {"value": values.tolist(), "select": [0, *select.tolist()], "convert": convert.tolist()}
    PartBench(StoreConverter(widths), held=held, tail=0).check(lambda _: {"stored": expected})
