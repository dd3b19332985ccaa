"""sim/golden/exact_product.py: every product is the integers' own, at the edge of what float32 holds and beyond."""

import numpy as np
import pytest
from hypothesis import strategies as st

from einloom.sim.golden.exact_product import ExactProduct
from tests.properties import given, settings


@settings(max_examples=100)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.sampled_from([1, 7, 32, 64, 96, 640, 1536])),
    largest=st.sampled_from([0, 1, 7, 127, 4080, 32385, 1 << 20]),
    seed=st.integers(0, 1 << 30),
    extreme=st.booleans(),
)
def test_products_are_exact(shape: tuple[int, int, int], largest: int, seed: int, extreme: bool) -> None:
    tokens, outputs, inputs = shape
    rng = np.random.default_rng(seed)
    if extreme:
        weights, x = np.full((outputs, inputs), -largest), np.full((tokens, inputs), -128, np.int8)
    else:
        weights = rng.integers(-largest, largest + 1, (outputs, inputs))
        x = rng.integers(-128, 128, (tokens, inputs)).astype(np.int8)
    product = ExactProduct(weights.astype(np.int32), 128)
    assert product.shape == (outputs, inputs)
    np.testing.assert_array_equal(product(x), x.astype(np.int64) @ weights.T)


@pytest.mark.parametrize(("largest", "narrow"), [(4080, True), (32385, False)])
def test_weights_of_four_bits_with_scales_take_half_the_memory(largest: int, narrow: bool) -> None:
    product = ExactProduct(np.full((8, 640), largest, np.int32), 128)
    held = product._narrow if hasattr(product, "_narrow") else product._wide
    assert (held.dtype == np.float32) == narrow
