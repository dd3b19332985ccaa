"""Matrices that GPTQ and AWQ quantized: codes in 32-bit words, a scale and a zero point for each output and group."""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.models.family.quantization import QuantizedStorage
from einloom.models.importer.stored_tensors import Floats, StoredTensors

Integers = npt.NDArray[np.int64]
WORD_BITS = 32
WEIGHT = ".weight"
SCALES = {"F16", "BF16", "F32"}
AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where the code of each of eight outputs is in its word, counted in codes."""


@dataclass(frozen=True)
class GroupedCodes(StoredTensors):
    """Tensors of which matrices [N, K] may be codes: weight[n, k] = scale[g, n] * (code[k, n] - zero[g, n]).

    g is k's group: `g_idx[k]` where GPTQ stored it, else k over K / groups.
    """

    storage: QuantizedStorage

    def __contains__(self, name: str) -> bool:
        return super().__contains__(name) or self._is_coded(name)

    def shape(self, name: str) -> tuple[int, ...]:
        if not self._is_coded(name):
            return super().shape(name)
        codes = self._stored(name, "qweight")
        rows, columns = self.require(codes, name, {"I32"}, 2)
        return (columns, rows * self._per_word) if self._along_inputs else (columns * self._per_word, rows)

    def parts(self, name: str) -> Set[str]:
        if not self._is_coded(name):
            return super().parts(name)
        stored = {self._stored(name, kind) for kind in ("qweight", "qzeros", "scales", "g_idx")}
        return stored & self.weights.files.keys()

    def read_float32(self, name: str) -> Floats:
        if not self._is_coded(name):
            return super().read_float32(name)
        outputs, inputs = self.shape(name)
        scales_name, zeros_name = self._stored(name, "scales"), self._stored(name, "qzeros")
        scales_shape = self.require(scales_name, name, SCALES, 2)
        groups = scales_shape[0]
        if scales_shape != (groups, outputs) or groups == 0 or (inputs % groups and not self._has_groups(name)):
            raise self.error(scales_name, f"has the shape {scales_shape}, but {name} is {outputs} x {inputs}")
        if self.require(zeros_name, name, {"I32"}, 2) != (groups, outputs // self._per_word):
            raise self.error(zeros_name, f"does not have a zero point for each number in {scales_name}")
        zeros = self._unpacked(self._words(zeros_name), axis=1)
        if self.storage.quant_method == "gptq" and self.storage.checkpoint_format == "gptq":
            zeros = zeros + 1
        codes = self._unpacked(self._words(self._stored(name, "qweight")), axis=0 if self._along_inputs else 1)
        group = self._groups(name, inputs, groups)
        scales = self.weights.read_float32(scales_name)
        result: Floats = (scales[group] * (codes - zeros[group]).astype(np.float32)).T
        return result

    @property
    def _along_inputs(self) -> bool:
        return self.storage.quant_method == "gptq"

    @property
    def _per_word(self) -> int:
        return WORD_BITS // self.storage.bits

    def _stored(self, name: str, kind: str) -> str:
        return f"{name.removesuffix(WEIGHT)}.{kind}"

    def _is_coded(self, name: str) -> bool:
        return name.endswith(WEIGHT) and self._stored(name, "qweight") in self.weights.files

    def _has_groups(self, name: str) -> bool:
        return self._along_inputs and self._stored(name, "g_idx") in self.weights.files

    def _words(self, name: str) -> Integers:
        words = np.frombuffer(self.weights.read_bytes(name), "<u4").reshape(self.weights.entry(name).shape)
        return words.astype(np.int64)

    def _unpacked(self, words: Integers, axis: int) -> Integers:
        """The codes of 32-bit words [R, C], several times as many along `axis`; the first one lowest."""
        places = AWQ_PLACES if self.storage.quant_method == "awq" else range(self._per_word)
        codes = [words >> self.storage.bits * place & (1 << self.storage.bits) - 1 for place in places]
        stacked: Integers = np.stack(codes, axis=axis + 1)
        shape = list(words.shape)
        shape[axis] *= self._per_word
        return stacked.reshape(shape)

    def _groups(self, name: str, inputs: int, groups: int) -> Integers:
        """The group of each input."""
        if not self._has_groups(name):
            return np.arange(inputs) // (inputs // groups)
        stored = self._stored(name, "g_idx")
        if self.require(stored, name, {"I32"}, 1) != (inputs,):
            raise self.error(stored, f"must name the group of each of the {inputs} inputs of {name}")
        found = np.frombuffer(self.weights.read_bytes(stored), "<i4").astype(np.int64)
        if found.min() < 0 or found.max() >= groups:
            raise self.error(stored, f"names groups beyond the {groups} that {name} has scales for")
        return found
