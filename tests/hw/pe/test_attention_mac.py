"""A multiplier of the attention array: dot products, and products of a probability with values."""

import numpy as np
import pytest

from einloom.hw.pe.attention_mac import DOT_CYCLES, PRODUCT_CYCLES, AttentionMac
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.attention_format import PROBABILITY_FRACTION, AttentionFormat

FORMATS = {"int8": AttentionFormat(8, 64, 1000), "int16": AttentionFormat(16, 64, 1000)}
CASES = 30


@pytest.mark.parametrize("name", FORMATS)
def test_dot_products_and_products_follow_each_other_without_a_gap(name: str) -> None:
    """The next probability is written during the values of the one before, which keep theirs."""
    format, rng = FORMATS[name], np.random.default_rng(len(name))
    limit = 1 << format.input_bits - 1
    held: dict[str, list] = {name: [] for name in ("query", "row", "negated", "write")}
    controls: dict[int, dict[str, int]] = {}
    dot_at: dict[int, int] = {}
    product_at: dict[int, int] = {}

    def control(cycle: int, **fields: int) -> None:
        controls.setdefault(cycle, {}).update(fields)

    def step(query: int = 0, row: int = 0, negated: int = 0, write: int = 0) -> int:
        for key, value in (("query", query), ("row", row), ("negated", negated), ("write", write)):
            held[key].append(int(value))
        n = len(held["query"]) - 1
        control(n + 4, enable=1)
        return n

    probability = 0
    for case in range(CASES):
        size = 64 if case < 2 else int(rng.integers(1, 9))
        query, key = rng.integers(-(1 << 15), 1 << 15, size), rng.integers(-limit, limit, size)
        if case < 2:  # the largest sums
            query, key = np.full(size, (32767, -32768)[case]), np.full(size, -limit)
        for e in range(size):
            n = step(query[e], key[e])
            control(n + 3, restart=int(e == 0))
            control(n + 5, score=1)
        dot_at[n + DOT_CYCLES] = int(query @ key)
        following = int(rng.integers(0, (1 << PROBABILITY_FRACTION) + 1)) if case % 7 else 1 << PROBABILITY_FRACTION
        for f, value in enumerate(rng.integers(-limit, limit, 4)):
            n = step(row=value, negated=-following if f == 1 else 0, write=int(f == 1))
            control(n, value=1)
            control(n + 3, restart=1)
            product_at[n + PRODUCT_CYCLES] = probability * int(value)
        control(n, load=1)
        probability = following
    cycles = range(n + DOT_CYCLES + 1)
    for values in held.values():
        values.extend([0] * (len(cycles) - len(values)))
    expected = {"dot": [dot_at.get(n) for n in cycles], "product": [product_at.get(n) for n in cycles]}
    held["control"] = [controls.get(n, {}) for n in cycles]
    PartBench(AttentionMac(format), held=held, tail=0).check(lambda _: expected)
