"""Float attention on keys and values as a core keeps them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from einloom.models.cache_scales import CacheScales
from einloom.models.decoder_graph import Scores
from einloom.models.float_attention import float_attention
from einloom.spec.cache_format import LARGEST_SCALE, CacheFormat

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


class TokenCache(QuantizedCache):
    """Float attention on keys and values with a scale for each token and head, mixed over the words of a head."""

    def __init__(self, scales: Sequence[CacheScales], format: CacheFormat, lanes: int) -> None:
        super().__init__(scales, format.bits)
        self._format, self._lanes = format, lanes

    def _rounded(self, x: Floats, scale: Floats) -> Floats:
        """x [S, G, D] as the engine sees it, turned back."""
        format, mixing = self._format, mixing_matrix(x.shape[-1] // self._lanes)
        unit = scale.max(axis=-1)[:, None, None].astype(np.float64)
        elements = np.einsum("vw,sgwl->sgvl", mixing, x.reshape(*x.shape[:-1], -1, self._lanes) / unit)
        steps = 2.0**format.scale_shift
        largest = np.abs(elements).max(axis=(-2, -1), keepdims=True)
        scales = np.clip(np.rint(largest * steps / format.largest_code + 0.5), 1, LARGEST_SCALE)
        codes = np.rint(elements * steps / scales)
        seen = np.floor(codes * scales / steps + 0.5)
        result: Floats = np.einsum("vw,sgwl->sgvl", mixing, seen * unit).reshape(x.shape).astype(np.float32)
        return result


def mixing_matrix(words: int) -> npt.NDArray[np.float64]:
    """Sylvester's matrix over runs of as many words as the largest power of two that divides `words`; orthogonal."""
    h = np.ones((1, 1))
    while words % (2 * len(h)) == 0:
        h = np.block([[h, h], [h, -h]])
    return np.kron(np.eye(words // len(h)), h / np.sqrt(len(h)))
