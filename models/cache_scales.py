"""Scales of the codes in a cache of keys and values."""

from dataclasses import dataclass

from einloom.models.linears import Floats


@dataclass(frozen=True)
class CacheScales:
    """Scales of one layer's cached keys and values: what a step of a code is worth, float32 [groups, size] each.

    Where each token has a scale, `means` are taken off keys before they are coded, and keys are multiplied by `factors`
    (models/key_moments.py). None are zeros, or ones.
    """

    keys: Floats
    values: Floats
    means: Floats | None = None
    factors: Floats | None = None
