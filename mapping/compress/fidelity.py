"""Error of a quantized matrix against its original, and the bits it takes to store."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from einloom.mapping.compress.nearest import Float32
from einloom.mapping.compress.row_blocks import row_blocks
from einloom.spec.quantized import QuantizedTensor


@dataclass(frozen=True)
class Fidelity:
    """Storage and error of one tensor, or of several together.

    Attributes
    ----------
    name : name of the tensor.
    format : name of its format.
    weights : number of weights.
    stored_bits : bits of their codes and group metadata.
    squared_error : sum of (weight - dequantized weight) ** 2.
    squared_norm : sum of weight ** 2.
    """

    name: str
    format: str
    weights: int
    stored_bits: float
    squared_error: float
    squared_norm: float

    @property
    def bits_per_weight(self) -> float:
        return self.stored_bits / self.weights

    @property
    def nmse(self) -> float:
        """Normalised squared error; 0 for zeros that stayed zeros."""
        return self.squared_error / self.squared_norm if self.squared_error else 0.0


def normalized_squared_error(weights: Float32, approximation: Float32) -> float:
    """sum((weights - approximation) ** 2) / sum(weights ** 2), summed in float64."""
    error, norm = _squares(weights, approximation)
    return error / norm if error else 0.0


def measure(name: str, weights: Float32, tensor: QuantizedTensor) -> Fidelity:
    """The fidelity of `tensor` to the `weights` [N, K] that it was made from."""
    pairs = ((weights[rows], _rows_of(tensor, rows).dequantize()) for rows in row_blocks(weights.shape))
    error, norm = map(sum, zip(*(_squares(*pair) for pair in pairs), strict=True))
    stored = tensor.bits_per_weight * weights.size
    return Fidelity(name, tensor.format.name, weights.size, stored, error, norm)


def total(parts: Iterable[Fidelity]) -> Fidelity:
    """All `parts`, of one format, as if they were one tensor: large tensors count for more than small ones."""
    parts = list(parts)
    return Fidelity(
        name="total",
        format=parts[0].format,
        weights=sum(p.weights for p in parts),
        stored_bits=sum(p.stored_bits for p in parts),
        squared_error=sum(p.squared_error for p in parts),
        squared_norm=sum(p.squared_norm for p in parts),
    )


def _squares(weights: Float32, approximation: Float32) -> tuple[float, float]:
    wide = weights.astype(np.float64)
    return float(np.square(wide - approximation).sum()), float(np.square(wide).sum())


def _rows_of(tensor: QuantizedTensor, rows: slice) -> QuantizedTensor:
    return replace(
        tensor,
        codes=tensor.codes[rows],
        scales=tensor.scales[rows],
        selectors=tensor.selectors[rows],
        channel_scale=tensor.channel_scale[rows],
    )
