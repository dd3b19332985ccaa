"""Matrices of 8-bit floats with a scale for each block, as DeepSeek's and Qwen's files hold them."""

from collections.abc import Set
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from einloom.models.family.quantization import QuantizedStorage
from einloom.models.importer.stored_tensors import Floats, StoredTensors

DTYPE = "F8_E4M3"
SCALES = {"F16", "BF16", "F32"}
SCALE_NAMES = ("weight_scale_inv", "weight_scale")
"""What stands beside `weight`; a factor in spite of the first name."""


@dataclass(frozen=True)
class Fp8Tensors(StoredTensors):
    """Tensors of which matrices may be E4M3 numbers times a scale: of their block, of their row, or of the matrix."""

    storage: QuantizedStorage

    def parts(self, name: str) -> Set[str]:
        return {name, *self._scales(name)} if self._is_coded(name) else super().parts(name)

    def read_float32(self, name: str) -> Floats:
        if not self._is_coded(name):
            return super().read_float32(name)
        rows, columns = shape = self.shape(name)
        values = np.frombuffer(self.weights.read_bytes(name), ml_dtypes.float8_e4m3fn).reshape(shape).astype(np.float32)
        if not np.isfinite(values).all():
            raise self.error(name, "has values that are no numbers")
        found = self._scales(name)
        if not found:
            raise self.error(f"{name}_scale_inv", f"is missing, though {name} is {DTYPE}")
        [stored] = found
        entry = self.weights.entry(stored)
        if entry.dtype not in SCALES:
            raise self.error(stored, f"is {entry.dtype}, not {' or '.join(sorted(SCALES))}")
        height, width = self.storage.weight_block_size or shape
        allowed: list[tuple[int, ...]] = [(-(-rows // height), -(-columns // width))]
        if self.storage.weight_block_size is None:
            allowed += [(), (1,), (rows,), (rows, 1)]
        if entry.shape not in allowed:
            raise self.error(stored, f"has the shape {entry.shape}, which are no scales of {name}, {rows} x {columns}")
        scales = self.weights.read_float32(stored)
        if self.storage.weight_block_size is None:
            result: Floats = values * scales.reshape(-1, 1)
            return result
        result = values * np.repeat(np.repeat(scales, height, axis=0)[:rows], width, axis=1)[:, :columns]
        return result

    def _is_coded(self, name: str) -> bool:
        if name not in self.weights.files:
            return False
        entry = self.weights.entry(name)
        return entry.dtype == DTYPE and name.endswith(".weight") and len(entry.shape) == 2

    def _scales(self, name: str) -> list[str]:
        """The stored scales of a matrix, if there are any."""
        candidates = (f"{name.removesuffix('weight')}{kind}" for kind in SCALE_NAMES)
        return [stored for stored in candidates if stored in self.weights.files][:1]
