"""Matrices that are rounded to nearest for an engine, without a text to calibrate on."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.for_engine import quantize_matrix
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.quantized import QuantizedTensor


def quantize_for_engine(
    engine: GemmConfig, weights: Mapping[str, npt.NDArray[np.float32]]
) -> dict[str, QuantizedTensor]:
    """The matrices [N outputs, K inputs] in the engine's first format, with the best group scales."""
    return {name: quantize_matrix(engine, name, w, engine.weight_formats[0]) for name, w in weights.items()}
