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
    """The reference: float32 weights [N, K], nothing quantized."""

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        self._weights = weights

    def __call__(self, name: str, x: Floats) -> Floats:
        return x @ self._weights[name].T
