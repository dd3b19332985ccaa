"""The tensors of safetensors files as matrices and vectors of float32, however they are stored."""

from collections.abc import Set
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from einloom.models.importer.model_weights import ModelWeights
from einloom.spec.errors import InputError
from einloom.spec.files import file_digest

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StoredTensors:
    """Tensors that are stored as they are; subclasses know matrices that are not."""

    weights: ModelWeights

    def __contains__(self, name: str) -> bool:
        return name in self.weights.files

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape, outputs first."""
        return self.weights.entry(name).shape

    def read_float32(self, name: str) -> Floats:
        """The tensor; InputError when it can't be read."""
        return self.weights.read_float32(name)

    def parts(self, name: str) -> Set[str]:
        """Names of the stored tensors that the tensor `name` is made of."""
        return {name}

    def error(self, name: str, problem: str) -> InputError:
        """What is wrong with the tensor `name`."""
        return InputError(f"{self.weights.path}: tensor {name} {problem.format(config='config.json calls')}")

    def digest(self) -> str:
        """Digest of the files' content, and of the way in which it is read; InputError when it can't be read."""
        how = [getattr(self, each.name) for each in fields(self) if each.name != "weights"]
        paths = sorted({file.path for file in self.weights.files.values()})
        return " ".join([*map(repr, how), *(file_digest(path) for path in paths)])

    def require(self, name: str, of: str, dtypes: Set[str], rank: int) -> tuple[int, ...]:
        """The shape of the stored tensor `name`, which the matrix `of` needs; InputError when it isn't so."""
        if name not in self.weights.files:
            raise self.error(name, f"is missing, though {of} is stored as codes")
        entry = self.weights.entry(name)
        if entry.dtype not in dtypes or len(entry.shape) != rank:
            wanted = " or ".join(sorted(dtypes))
            raise self.error(name, f"is {entry.dtype} {list(entry.shape)}, not {wanted} with {rank} dimensions")
        return entry.shape
