"""The golden model of a design's GEMM engine, whatever its activations."""

import numpy as np
import numpy.typing as npt

from einloom.sim.golden.bitmod import fp16_gemm
from einloom.sim.golden.gemm import integer_gemm
from einloom.sim.golden.lut import Rounding, rounded_gemm
from einloom.sim.golden.lut_fp16 import aligned_gemm, rounded_aligned_gemm
from einloom.spec.manifest import GemmManifest
from einloom.spec.quantized import QuantizedTensor

Integers = npt.NDArray[np.int64]


def golden_sums(
    manifest: GemmManifest, tensor: QuantizedTensor, activations: npt.NDArray[np.generic]
) -> tuple[Integers, Integers]:
    """(value, exponent) of `tensor` [N, K] times `activations` [T, K], int64 [T, N] each; exponents are 0 for int8."""
    lookup, lanes = manifest.weights.lookup, manifest.weights.lanes
    rounding = None
    if lookup is not None and lookup.entries == "int8":
        rounding = Rounding(lookup.tables, lookup.entry_scale == "table")
    if manifest.activations == "fp16":
        numbers = activations.astype(np.float16, copy=False)
        if rounding is not None:
            return rounded_aligned_gemm(numbers, tensor, rounding)
        return (fp16_gemm if lookup is None else aligned_gemm)(numbers, tensor, lanes)
    codes = activations.astype(np.int8, copy=False)
    value = integer_gemm(codes, tensor) if rounding is None else rounded_gemm(codes, tensor, rounding)
    return value, np.zeros_like(value)
