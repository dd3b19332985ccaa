"""Scales of the codes in a cache of keys and values."""

from dataclasses import dataclass

from einloom.models.linears import Floats


@dataclass(frozen=True)
class CacheScales:
    """Scales of one layer's cached keys and values: what a step of a code is worth, float32 [groups, size] each."""

    keys: Floats
    values: Floats
