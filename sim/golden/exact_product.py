"""Products of integer matrices by floating-point BLAS, exact in every case."""

import numpy as np
import numpy.typing as npt

from einloom.sim.golden.stream_reader import Integers

FLOAT32_EXACT = 1 << 24
"""Integers up to this magnitude are float32 numbers."""
SHORTEST = 16
"""Inputs of a block that are worth float32: below, adding up the blocks takes longer than float64 does."""


class ExactProduct:
    """x W^T for integer weights W [N, K] and activations x [T, K] of up to `limit` in magnitude.

    Products are summed in float32 over blocks of inputs so short that no sum can leave its exact integers, and blocks
    in float64, exact below 2^53 (hw/pe proves the width of the sums). Where blocks would be too short all is float64.
    """

    def __init__(self, weights: Integers, limit: int) -> None:
        outputs, inputs = self.shape = (weights.shape[0], weights.shape[1])
        largest = max(1, int(np.abs(weights, dtype=np.int64).max(initial=0))) * limit
        self._block = next((b for b in _divisors(inputs) if b * largest <= FLOAT32_EXACT), 1)
        if self._block < SHORTEST:
            self._wide = weights.T.astype(np.float64)
        else:
            blocked = weights.reshape(outputs, -1, self._block).transpose(1, 2, 0)
            self._narrow = np.ascontiguousarray(blocked, np.float32)  # [blocks, inputs, N]

    def __call__(self, x: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """The sums [T, N]."""
        if self._block < SHORTEST:
            wide: npt.NDArray[np.float64] = x.astype(np.float64) @ self._wide
            return wide
        blocked = x.astype(np.float32).reshape(len(x), -1, self._block).transpose(1, 0, 2)
        if len(x) == 1:  # a row times a matrix: einsum reads it once, BLAS does not
            parts = np.einsum("gtk,gkn->gtn", blocked, self._narrow)
        else:
            parts = np.matmul(blocked, self._narrow)
        sums: npt.NDArray[np.float64] = parts.sum(axis=0, dtype=np.float64)
        return sums


def _divisors(number: int) -> list[int]:
    """Divisors, the largest first."""
    return [d for d in range(number, 0, -1) if number % d == 0]
