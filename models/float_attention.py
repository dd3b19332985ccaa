"""Causal grouped-query attention of a decoder: the signature that every way of computing it has, and float32.

The reference takes the functions of the arrays that it gets, as models/float_functions.py does.

Letters of shapes: T new tokens, S tokens so far, G key/value heads, R query heads for each of them, D values per head.
"""

from typing import Protocol

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
    products = xp.einsum("...tgrd,...sgd->...grts", queries, keys) * np.float32(scores.scale)
    if sink_queries is not None:
        sinks = keys[..., : scores.sinks, :, :]
        seen_there = xp.einsum("...tgrd,...sgd->...grts", sink_queries, sinks) * np.float32(scores.scale)
        products = xp.concatenate([seen_there, products[..., scores.sinks :]], axis=-1)
    if scores.cap is not None:
        products = soft_cap(products, scores.cap)
    count = keys.shape[-3]
    own = np.arange(count - queries.shape[-4], count)
    seen = scores.mask(count).visible(own).T  # [T, S]
    weights = softmax(xp.where(seen, products, np.float32(-np.inf)))
    mixed: Floats = xp.einsum("...grts,...sgd->...tgrd", weights, values)
    return mixed


def softmax(x: Floats) -> Floats:
    """exp(x) over its sum along the last axis; -inf becomes 0."""
    powers = x.__array_namespace__().exp(x - x.max(axis=-1, keepdims=True))
    result: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return result


def soft_cap(x: Floats, cap: float) -> Floats:
    """cap * tanh(x / cap), which is x for small x and never beyond the cap."""
    result: Floats = np.float32(cap) * x.__array_namespace__().tanh(x / np.float32(cap))
    return result
