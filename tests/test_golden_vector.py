"""sim/golden/vector.py: what is computed at once is what the steps would give, in every bit, with special numbers and
without."""

import itertools

import numpy as np
import pytest

from einloom.sim.golden.vector import Bits, add, bits, elementwise, floats, flushed, multiply, reduce
from einloom.spec.isa import REDUCE_PARTIALS, VectorOp
from tests.vector_operands import corner_pairs, near_negative, random_pairs

GROUP = 8
"""Numbers that are computed together: in few enough, nothing may be special."""


def triples(seed: int) -> tuple[Bits, Bits, Bits]:
    """Operands a, x and y [groups, GROUP]: every corner with every other, sums that cancel, anything, and groups of
    ordinary numbers."""
    rng = np.random.default_rng(seed)
    a, x = corner_pairs()
    drawn = [(a, x, rng.permutation(x)), (*random_pairs(rng, 20000), random_pairs(rng, 20000)[0])]
    ordinary = rng.normal(size=(3, 8000)).astype(np.float32)
    drawn.append(tuple(ordinary.view(np.uint32)))
    drawn.append((*drawn[-1][:2], near_negative(rng, bits(ordinary[0] * ordinary[1]))))
    a, x, y = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return tuple(p[: len(p) // GROUP * GROUP].reshape(-1, GROUP) for p in (a, x, y))


@pytest.mark.parametrize("negate", [False, True])
@pytest.mark.parametrize(("with_x", "with_y"), list(itertools.product([False, True], repeat=2)))
def test_mad_is_a_product_and_then_a_sum(with_x: bool, with_y: bool, negate: bool) -> None:
    for a, x, y in zip(*triples(0), strict=True):
        product = multiply(floats(a), floats(x)) if with_x else flushed(floats(a))
        product = -product if negate else product
        expected = bits(add(product, floats(y)) if with_y else product)
        found = elementwise(VectorOp.MAD, a, x if with_x else None, y if with_y else None, negate=negate)
        assert (found == expected).all()


@pytest.mark.parametrize("op", [VectorOp.MAX, VectorOp.MIN])
def test_extremes_are_in_the_order_of_numbers(op: VectorOp) -> None:
    def order(number: np.float32) -> tuple[float, bool]:
        return float(number), not np.signbit(number)

    choose = max if op is VectorOp.MAX else min
    for a, x, _ in zip(*triples(1), strict=True):
        found = elementwise(op, a, x, None)
        for got, first, second in zip(found, flushed(floats(a)), flushed(floats(x)), strict=True):
            nan = np.isnan(first) or np.isnan(second)
            expected = np.float32(np.nan) if nan else choose(first, second, key=order)
            assert got == bits(np.array([expected]))[0]


@pytest.mark.parametrize("words", [1, 3, 8, 9, 20])
def test_sums_are_in_the_order_of_the_lanes(words: int) -> None:
    lanes = 8
    for seed in range(4):
        a, x, _ = (part.ravel() for part in triples(seed))
        size = words * lanes
        for start in range(0, len(a) - size, 7 * size):
            both = (p[start : start + size].reshape(1, words, lanes) for p in (a, x))
            first, second = both
            partial = np.zeros((REDUCE_PARTIALS, lanes), np.float32)
            for n in range(words):
                at = n % REDUCE_PARTIALS
                partial[at] = add(partial[at], multiply(floats(first[0, n]), floats(second[0, n])))
            while len(partial) > 1:
                partial = add(partial[: len(partial) // 2], partial[len(partial) // 2 :])
            row = partial[0]
            while len(row) > 1:
                row = add(row[: len(row) // 2], row[len(row) // 2 :])
            assert reduce(VectorOp.SUM, first, second)[0] == bits(row)[0]


def test_largest_magnitude() -> None:
    for a, _, _ in zip(*triples(2), strict=True):
        magnitude = np.abs(flushed(floats(a)))
        expected = bits(np.array([np.nan if np.isnan(magnitude).any() else magnitude.max()], np.float32))
        assert (reduce(VectorOp.MAXABS, a[None], None) == expected).all()
