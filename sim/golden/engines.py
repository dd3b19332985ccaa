"""The golden model of a design's GEMM engine, as its EngineKind names it."""

from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from einloom.spec.engine_kinds import engine_kinds
from einloom.spec.manifest import GemmManifest
from einloom.spec.quantized import QuantizedTensor

Integers = npt.NDArray[np.int64]


class GoldenSums(Protocol):
    """Golden model of a GEMM engine, written from the definition of its arithmetic."""

    def __call__(
        self, manifest: GemmManifest, tensor: QuantizedTensor, activations: npt.NDArray[np.generic], /
    ) -> tuple[Integers, Integers]:
        """(value, exponent) of `tensor` [N, K] times `activations` [T, K], int64 [T, N] each.

        Exponents are 0 for integer activations.
        """


def golden_sums(
    manifest: GemmManifest, tensor: QuantizedTensor, activations: npt.NDArray[np.generic]
) -> tuple[Integers, Integers]:
    """Sums as the engine of `manifest` computes them; see GoldenSums."""
    model = cast(GoldenSums, engine_kinds()[manifest.kind].load("golden"))
    return model(manifest, tensor, activations)
