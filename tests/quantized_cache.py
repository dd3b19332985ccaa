"""Float attention on keys and values as a core keeps them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from einloom.models.cache_scales import CacheScales
from einloom.models.decoder_graph import Scores
from einloom.models.float_attention import float_attention

Floats = npt.NDArray[np.float32]


class QuantizedCache:
    """Float attention on keys and values that are integers of `bits` in units of each layer's scales."""

    def __init__(self, scales: Sequence[CacheScales], bits: int) -> None:
        self._scales, self._limit, self._calls = scales, 1 << (bits - 1), 0

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        scales = self._scales[self._calls % len(self._scales)]
        self._calls += 1
        rounded = self._rounded(keys, scales.keys), self._rounded(values, scales.values)
        return float_attention(queries, *rounded, scores)

    def _rounded(self, x: Floats, scale: Floats) -> Floats:
        return np.clip(np.rint(x / scale), -self._limit, self._limit - 1).astype(np.float32) * scale
