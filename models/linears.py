"""The linear layers of a decoder, y = x W^T: the signature that every way of computing them has, and float32."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Linears(Protocol):
    """Computes the linear layer of any matrix of the model."""

    def __call__(self, name: str, x: Floats) -> Floats:
        """float32 [T, N]: the activations `x` [T, K] times the transpose of matrix `name` [N, K]."""


class FloatLinears:
    """The reference: float32 weights [N, K], nothing quantized.

    With `keep`, weights that are read from files are held once they have been asked for: for more than one step.
    """

    def __init__(self, weights: Mapping[str, Floats], *, keep: bool = True) -> None:
        self._weights, self._keep = weights, keep
        self._kept = dict[str, Floats]()

    def __call__(self, name: str, x: Floats) -> Floats:
        weights = self._kept.get(name)
        if weights is None:
            weights = self._weights[name]
            if self._keep:
                self._kept[name] = weights
        return x @ weights.T
