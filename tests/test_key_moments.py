"""Means and factors of keys: attention with them is the same, and keys become smaller."""

import numpy as np
import pytest

from einloom.models.decoder_graph import Rope, Scores
from einloom.models.float_attention import float_attention
from einloom.models.float_functions import rotate
from einloom.models.key_moments import FIRST, POSITIONS, KeyMoments

GROUPS, HEADS, SIZE, TOKENS = 2, 3, 8, 40
ROPE = Rope(frequencies=(1.0, 0.1, 0.001, 0.0), factor=1.0)


def texts(rope: Rope | None, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries and keys around a mean of their own, and values, of one text."""
    rng = np.random.default_rng(seed)
    keys = rng.normal(size=(TOKENS, GROUPS, SIZE)).astype(np.float32) + np.arange(SIZE, dtype=np.float32)
    queries = 4 * rng.normal(size=(TOKENS, GROUPS * HEADS, SIZE)).astype(np.float32)
    values = rng.normal(size=(TOKENS, GROUPS, SIZE)).astype(np.float32)
    positions = np.arange(TOKENS)
    if rope:
        queries, keys = rotate(queries, positions, rope), rotate(keys, positions, rope)
    return queries.reshape(TOKENS, GROUPS, HEADS, SIZE), keys, values


def moments(rope: Rope | None, step: int = TOKENS) -> KeyMoments:
    queries, keys, _ = texts(rope)
    found = KeyMoments.none(GROUPS, SIZE)
    for at in range(0, TOKENS, step):
        found.add(queries[at : at + step], keys[: at + step], rope)
    return found


@pytest.mark.parametrize("rope", [ROPE, None], ids=["rope", "none"])
def test_attention_is_the_same(rope: Rope | None) -> None:
    queries, keys, values = texts(rope, seed=1)
    found, scores = moments(rope), Scores(scale=0.3, window=0, sinks=0, cap=None)
    means, factors = found.means(rope), found.factors(rope)
    changed = float_attention(queries / factors[:, None], (keys - means) * factors, values, scores)
    assert np.abs(changed - float_attention(queries, keys, values, scores)).max() < 1e-4
    assert np.allclose(np.log(factors).mean(axis=-1), 0, atol=1e-5)


def test_factors_bring_queries_and_keys_to_one_size() -> None:
    queries, keys, _ = texts(None)
    found = moments(None)
    factors = found.factors(None)
    own = (keys - found.means(None))[FIRST:] * factors
    pairs = [np.square(x).reshape(-1, GROUPS, 2, SIZE // 2).mean(axis=(0, 2)) for x in (own, own)]
    of_queries = np.square(queries / factors[:, None])[FIRST:].mean(axis=(0, 2)).reshape(GROUPS, 2, -1).mean(axis=1)
    ratio = of_queries / pairs[0]
    assert np.allclose(ratio, ratio[:, :1], rtol=0.05)


def test_means_turn_with_all_positions() -> None:
    """A pair that turns fast has none, one that doesn't turn has all of it."""
    means = moments(ROPE).means(ROPE)
    wanted = np.mean(
        [rotate(np.arange(SIZE, dtype=np.float32)[None, None], np.array([p]), ROPE) for p in range(POSITIONS)], axis=0
    )
    assert np.abs(means - wanted[0]).max() < 0.6
    assert np.abs(means[:, 0]).max() < 0.1
    assert (means[:, SIZE - 1] > SIZE - 2).all()


@pytest.mark.parametrize("step", [1, 3])
def test_tokens_may_come_in_any_pieces(step: int) -> None:
    whole, pieces = moments(ROPE), moments(ROPE, step)
    assert whole.count == pieces.count == TOKENS - FIRST
    assert np.allclose(whole.means(ROPE), pieces.means(ROPE), atol=1e-5)
    assert np.allclose(whole.factors(ROPE), pieces.factors(ROPE), rtol=1e-4)
