"""Attention on integers, as the decoder uses it, against attention in float64."""

from collections.abc import Sequence

import numpy as np
import pytest

from einloom.mapping.attention_operands import AttentionJob
from einloom.models.decoder_graph import Scores
from einloom.models.float_attention import float_attention
from einloom.sim.golden.integer_attention import IntegerAttention, golden_runner
from einloom.spec.attention_format import AttentionFormat

ROWS, COLUMNS = 8, 3


def integer_attention(input_bits: int) -> IntegerAttention:
    format = AttentionFormat(input_bits, 128, 4096)
    return IntegerAttention(golden_runner(format, ROWS), format, COLUMNS)


def plain(size: int) -> Scores:
    """Every key before is seen; scores are scaled by 1 / sqrt(size)."""
    return Scores(size**-0.5)


def reference(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One softmax after the other, in float64."""
    new, groups, heads, size = queries.shape
    out = np.empty(queries.shape)
    for t in range(new):
        seen = len(keys) - new + t + 1
        for g in range(groups):
            for r in range(heads):
                scores = keys[:seen, g].astype(np.float64) @ queries[t, g, r] / np.sqrt(size)
                weights = np.exp(scores - scores.max())
                out[t, g, r] = weights / weights.sum() @ values[:seen, g]
    return out


@pytest.mark.parametrize(("input_bits", "bound"), [(8, 0.015), (16, 0.003)])
@pytest.mark.parametrize(("new", "before", "size"), [(1, 40, 32), (5, 0, 64), (3, 20, 16), (2, 100, 128)])
def test_error_relative_to_the_output_is_bounded(
    input_bits: int, bound: float, new: int, before: int, size: int
) -> None:
    rng = np.random.default_rng(new + before)
    queries = rng.normal(size=(new, 2, 4, size)).astype(np.float32)
    keys, values = rng.normal(size=(2, before + new, 2, size)).astype(np.float32)
    attention = integer_attention(input_bits)
    found, expected = attention(queries, keys, values, plain(size)), reference(queries, keys, values)
    assert np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)) <= bound
    assert attention.jobs == 2 * -(-new * 4 // COLUMNS)
    np.testing.assert_allclose(float_attention(queries, keys, values, plain(size)), expected, rtol=1e-4, atol=1e-5)


def test_one_key_gives_its_value_and_zeros_give_zeros() -> None:
    rng = np.random.default_rng(0)
    queries, values = rng.normal(size=(1, 1, 1, 32)).astype(np.float32), rng.normal(size=(1, 1, 32)).astype(np.float32)
    found = integer_attention(16)(queries, np.zeros_like(values), values, plain(32))
    np.testing.assert_allclose(found[0, 0, 0], values[0, 0], rtol=1e-4)
    assert not integer_attention(8)(0 * queries, 0 * values, 0 * values, plain(32)).any()


def test_blocks_that_leave_columns_free_are_split_over_the_spans() -> None:
    rng = np.random.default_rng(3)
    format = AttentionFormat(8, 128, 4096)
    taken: list[tuple[int, int]] = []

    def run(jobs: Sequence[AttentionJob]) -> list[np.ndarray]:
        taken.extend((len(job.queries), job.spans) for job in jobs)
        return golden_runner(format, ROWS)(jobs)

    attention = IntegerAttention(run, format, columns=8, spans=2)
    queries = rng.normal(size=(3, 1, 4, 32)).astype(np.float32)
    keys, values = rng.normal(size=(2, 70, 1, 32)).astype(np.float32)
    found, expected = attention(queries, keys, values, plain(32)), reference(queries, keys, values)
    assert taken == [(8, 1), (4, 2)]
    assert np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)) <= 0.015
