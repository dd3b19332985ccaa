"""Matrices of -s, 0 and s, as BitNet's files hold them."""

import re
from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from einloom.models.family.tensor_names import Ternary
from einloom.models.importer.model_weights import ModelWeights
from einloom.models.importer.stored_tensors import Floats, StoredTensors
from einloom.spec.errors import InputError

CODES_PER_BYTE = 4
SMALLEST_MEAN = 1e-5
PROJECTION = re.compile(r"_proj\.weight$")
"""Matrices that a model with ternary weights rounds."""


@dataclass(frozen=True)
class TernaryTensors(StoredTensors):
    """Tensors of which matrices may be packed, or are rounded when they are read."""

    ternary: Ternary

    def shape(self, name: str) -> tuple[int, ...]:
        shape = super().shape(name)
        return (CODES_PER_BYTE * shape[0], *shape[1:]) if is_packed(self.weights, name) else shape

    def read_float32(self, name: str) -> Floats:
        if is_packed(self.weights, name):
            return read_packed(self.weights, name, self.ternary)
        values = super().read_float32(name)
        return rounded(values) if self.ternary is Ternary.ONLINE and PROJECTION.search(name) else values

    def parts(self, name: str) -> Set[str]:
        return {name, f"{name}_scale"} if is_packed(self.weights, name) else super().parts(name)


def is_packed(weights: ModelWeights, name: str) -> bool:
    """The tensor is a packed matrix: bytes [outputs / 4, inputs]."""
    entry = weights.entry(name)
    return name.endswith(".weight") and entry.dtype == "U8" and len(entry.shape) == 2


def read_packed(weights: ModelWeights, name: str, stored: Ternary) -> Floats:
    """The matrix [outputs, inputs] of a packed tensor, exact in float32 but for the product with the scale.

    Two bits of byte [r, c] from bit 2 n on are code + 1 of the weight [n * outputs / 4 + r, c]. InputError when the
    scale is missing or is no number that a matrix can have.
    """
    shape = weights.entry(name).shape
    raw = np.frombuffer(weights.read_bytes(name), np.uint8).reshape(shape)
    codes = np.concatenate([(raw >> 2 * n & 3).astype(np.int8) - 1 for n in range(CODES_PER_BYTE)])
    if codes.max(initial=0) > 1:
        raise InputError(f"{weights.path}: tensor {name} has codes that no ternary weight has")
    scale_name = f"{name}_scale"
    if scale_name not in weights.files or weights.entry(scale_name).shape not in ((), (1,)):
        raise InputError(f"{weights.path}: tensor {name} is packed, but there is no number {scale_name} beside it")
    scale = weights.read_float32(scale_name).reshape(())
    if scale <= 0:
        raise InputError(f"{weights.path}: tensor {scale_name} must be above 0, not {float(scale)}")
    factor = scale if stored is Ternary.TIMES_SCALE else np.float32(1) / scale
    result: Floats = codes.astype(np.float32) * factor
    return result


def rounded(matrix: Floats) -> Floats:
    """The matrix with every weight as -m, 0 or m, whichever is nearest, where m is the mean of all absolute values."""
    mean = max(float(np.abs(matrix).mean()), SMALLEST_MEAN)
    result: Floats = (np.clip(np.rint(matrix / np.float32(mean)), -1, 1) * np.float32(mean)).astype(np.float32)
    return result
