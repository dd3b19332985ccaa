"""Sums and maxima of signed values in a pipelined tree."""

import random

import pytest

from einloom.hw.pe.reduction import Reduction, stages
from tests.hw.around import check_pipeline


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17])
@pytest.mark.parametrize("operation", ["add", "max"])
def test_the_result_comes_after_the_trees_stages(operation: str, count: int) -> None:
    bits, rng = 7, random.Random(count)
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    rows = [[low] * count, [high] * count, [low, *[high] * (count - 1)]]
    rows += [[rng.randint(low, high) for _ in range(count)] for _ in range(40)]
    words = [sum((n & (1 << bits) - 1) << bits * i for i, n in enumerate(row)) for row in rows]
    expected = [sum(row) if operation == "add" else max(row) for row in rows]
    check_pipeline(Reduction(operation, bits, count), "result", stages(count), expected, values=words)
