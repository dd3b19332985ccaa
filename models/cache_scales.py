"""What the codes of a cache are worth."""

from dataclasses import dataclass

from einloom.models.linears import Floats


@dataclass(frozen=True)
class CacheScales:
    """What one step of a cached key's or value's code is worth, float32 [groups, size] each, of one layer."""

    keys: Floats
    values: Floats
