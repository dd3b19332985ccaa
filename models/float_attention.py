"""Causal grouped-query attention of a decoder: the signature that every way of computing it has, and float32.

The reference takes the functions of the arrays that it gets, as models/float_functions.py does.

Letters of shapes: T new tokens, S tokens so far, G key/value heads, R query heads for each of them, D values per head.
"""

from typing import Protocol, cast

import numpy as np

from einloom.models.decoder_graph import Scores
from einloom.models.linears import Floats


class AttentionFunction(Protocol):
    """Mixes values by the similarity of queries and keys."""

    def __call__(
        self, queries: Floats, keys: Floats, values: Floats, scores: Scores, sink_queries: Floats | None = None
    ) -> Floats:
        """float32 [T, G, R, D] of the last T of S tokens: queries [T, G, R, D], keys and values [S, G, D].

        Query t sees the keys of its own token and of those before it that the window leaves. With a reach the sinks are
        seen by `sink_queries` instead.
        """


def float_attention(
    queries: Floats, keys: Floats, values: Floats, scores: Scores, sink_queries: Floats | None = None
) -> Floats:
    """The reference: softmax(q k * scale) v in float32, for one text or, with another axis in front, for several."""
    xp = queries.__array_namespace__()
    products = _products(queries, keys) * np.float32(scores.scale)
    if sink_queries is not None:
        seen_there = _products(sink_queries, keys[..., : scores.sinks, :, :]) * np.float32(scores.scale)
        products = xp.concatenate([seen_there, products[..., scores.sinks :]], axis=-1)
    if scores.cap is not None:
        products = soft_cap(products, scores.cap)
    count = keys.shape[-3]
    own = np.arange(count - queries.shape[-4], count)
    seen = scores.mask(count).visible(own).T  # [T, S]
    weights = softmax(xp.where(seen, products, np.float32(-np.inf)))
    *texts, new, groups, heads, size = queries.shape
    mixed = weights.reshape(*texts, groups, heads * new, count) @ xp.moveaxis(values, -2, -3)
    of_tokens: Floats = xp.moveaxis(mixed.reshape(*texts, groups, heads, new, size), -2, -4)
    return of_tokens


def _products(queries: Floats, keys: Floats) -> Floats:
    """q k of each pair, [..., G, R, T, S]: one product of matrices for all queries of a group."""
    xp = queries.__array_namespace__()
    *texts, new, groups, heads, size = queries.shape
    rows = xp.moveaxis(queries, -4, -2).reshape(*texts, groups, heads * new, size)
    products: Floats = (rows @ xp.moveaxis(keys, -3, -1)).reshape(*texts, groups, heads, new, -1)
    return products


def softmax(x: Floats) -> Floats:
    """exp(x) over its sum along the last axis; -inf becomes 0."""
    if not isinstance(x, np.ndarray):
        from jax.nn import softmax as with_gradient  # which knows that the maximum has none

        return cast(Floats, with_gradient(x))
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return result


def soft_cap(x: Floats, cap: float) -> Floats:
    """cap * tanh(x / cap), which is x for small x and never beyond the cap."""
    result: Floats = np.float32(cap) * x.__array_namespace__().tanh(x / np.float32(cap))
    return result
