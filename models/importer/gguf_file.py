"""GGUF files: metadata, and tensors of any type that the gguf package can read, as float32."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from einloom.spec.errors import InputError

MAGIC = b"GGUF"


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file, mapped into memory.

    Attributes
    ----------
    metadata : values by their keys: numbers, strings, and lists of either.
    tensors : the library's tensors by name.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Any]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor as NumPy has it, rows first."""
        return tuple(int(n) for n in reversed(self.tensors[name].shape))

    def read_float32(self, name: str) -> npt.NDArray[np.float32]:
        """A tensor's values; InputError when its type is unknown or a value isn't finite."""
        from gguf.quants import dequantize

        tensor = self.tensors[name]
        try:
            with np.errstate(all="ignore"):
                values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(self.shape(name))
        except (NotImplementedError, ValueError, IndexError, TypeError) as error:
            raise InputError(f"{self.path}: tensor {name} of type {tensor.tensor_type.name}: {error}") from error
        if not np.isfinite(values).all():
            raise InputError(f"{self.path}: tensor {name} has values that are not finite")
        return values


def is_gguf(path: Path) -> bool:
    """True for a file that begins as GGUF files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def open_gguf(path: Path) -> GgufFile:
    """The file at `path`; InputError when it can't be read as GGUF."""
    from gguf import GGUFReader  # its own imports take a while

    class Reader(GGUFReader):
        """Looks at the file as a plain array: slices of NumPy's memmap cost two thirds of the time of reading."""

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value.view(np.ndarray) if isinstance(value, np.memmap) else value)

    try:
        reader = Reader(path)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {tensor.name: tensor for tensor in reader.tensors}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # the library raises whatever its arithmetic meets in a damaged file
        raise InputError(f"{path}: not a GGUF file that can be read: {error}") from error
    return GgufFile(path, metadata, tensors)
