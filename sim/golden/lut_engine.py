"""Golden model of an engine `lut`, with any activations and any entries of its tables."""

import numpy as np
import numpy.typing as npt

from einloom.sim.golden.gemm import integer_gemm
from einloom.sim.golden.lut_fp16 import aligned_gemm, rounded_aligned_gemm
from einloom.sim.golden.lut_rounded import Rounding, rounded_gemm
from einloom.spec.manifest import GemmManifest
from einloom.spec.quantized import QuantizedTensor

Integers = npt.NDArray[np.int64]


def golden_sums(
    manifest: GemmManifest, tensor: QuantizedTensor, activations: npt.NDArray[np.generic]
) -> tuple[Integers, Integers]:
    """GoldenSums (sim/golden/engines.py) of `lut`."""
    lookup, lanes = manifest.weights.lookup, manifest.weights.lanes
    assert lookup is not None
    rounding = Rounding(lookup.tables, lookup.entry_scale == "table") if lookup.entries == "int8" else None
    if manifest.activations == "fp16":
        numbers = activations.astype(np.float16, copy=False)
        if rounding is None:
            return aligned_gemm(numbers, tensor, lanes)
        return rounded_aligned_gemm(numbers, tensor, rounding)
    codes = activations.astype(np.int8, copy=False)
    value = integer_gemm(codes, tensor) if rounding is None else rounded_gemm(codes, tensor, rounding)
    return value, np.zeros_like(value)
