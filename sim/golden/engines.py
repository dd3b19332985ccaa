"""The golden model of a design's GEMM engine, whatever its activations."""

import numpy as np
import numpy.typing as npt

from einloom.manifest import GemmManifest
from einloom.quantized import QuantizedTensor
from sim.golden.bitmod import fp16_gemm
from sim.golden.gemm import integer_gemm
from sim.golden.lut import rounded_gemm
from sim.golden.lut_fp16 import aligned_gemm

Integers = npt.NDArray[np.int64]


def golden_sums(
    manifest: GemmManifest, tensor: QuantizedTensor, activations: npt.NDArray[np.generic]
) -> tuple[Integers, Integers]:
    """(value, exponent) of `tensor` [N, K] times `activations` [T, K], int64 [T, N] each; exponents are 0 for int8."""
    lookup, lanes = manifest.weights.lookup, manifest.weights.lanes
    if manifest.activations == "fp16":
        gemm = fp16_gemm if lookup is None else aligned_gemm
        return gemm(activations.astype(np.float16, copy=False), tensor, lanes)
    codes = activations.astype(np.int8, copy=False)
    if lookup is not None and lookup.entries == "int8":
        value = rounded_gemm(codes, tensor, lookup.tables)
    else:
        value = integer_gemm(codes, tensor)
    return value, np.zeros_like(value)
