"""Golden model of every GEMM engine with integer activations, from the definition of the number formats."""

import numpy as np
import numpy.typing as npt

from einloom.spec.manifest import GemmManifest
from einloom.spec.quantized import QuantizedTensor

EXACT = 1 << 53  # float64 holds every integer up to here, so a float64 matrix product below it is exact


def integer_gemm(activations: npt.NDArray[np.int8], weights: QuantizedTensor) -> npt.NDArray[np.int64]:
    """sums[t, n] = sum over k of activations[t, k] * scales[n, k // group] * value(codes[n, k]), exactly.

    Parameters
    ----------
    activations : int8 [T, K].
    weights : [N, K]; `channel_scale` and the format's unit are left to the caller.

    Returns int64 [T, N].
    """
    if activations.dtype != np.int8:
        raise TypeError(f"activations must be int8, not {activations.dtype}")
    scaled = weights.values() * np.repeat(weights.scales.astype(np.int64), weights.group, axis=1)
    if weights.shape[1] * 128 * int(np.abs(scaled).max(initial=0)) >= EXACT:
        return activations.astype(np.int64) @ scaled.T
    return np.rint(activations.astype(np.float64) @ scaled.T.astype(np.float64)).astype(np.int64)


def golden_sums(
    _manifest: GemmManifest, tensor: QuantizedTensor, activations: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """GoldenSums (sim/golden/engines.py) of engines with int8 activations and exact sums."""
    value = integer_gemm(activations.astype(np.int8, copy=False), tensor)
    return value, np.zeros_like(value)
