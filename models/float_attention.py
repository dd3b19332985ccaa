"""Causal grouped-query attention of a decoder: the signature that every way of computing it has, and float32.

Letters of shapes: T new tokens, S tokens so far, G key/value heads, R query heads for each of them, D values per head.
"""

from typing import Protocol

import numpy as np

from einloom.models.linears import Floats


class Attention(Protocol):
    """Mixes values by the similarity of queries and keys."""

    def __call__(self, queries: Floats, keys: Floats, values: Floats) -> Floats:
        """float32 [T, G, R, D] of the last T of S tokens: queries [T, G, R, D], keys and values [S, G, D].

        Query t sees the keys of its own token and of all before it; scores are scaled by 1 / sqrt(D).
        """


def float_attention(queries: Floats, keys: Floats, values: Floats) -> Floats:
    """The reference: softmax(q k / sqrt(D)) v in float32."""
    scores = np.einsum("tgrd,sgd->grts", queries, keys) * np.float32(queries.shape[-1] ** -0.5)
    own = np.arange(len(keys) - len(queries), len(keys))[:, None]  # [T, 1]
    weights = softmax(np.where(np.arange(len(keys)) <= own, scores, np.float32(-np.inf)))
    mixed: Floats = np.einsum("grts,sgd->tgrd", weights, values)
    return mixed


def softmax(x: Floats) -> Floats:
    """exp(x) over its sum along the last axis; -inf becomes 0."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return result
