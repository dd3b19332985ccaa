"""Safetensors files, read as untrusted input."""

from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt

from einloom.models.importer.safetensors_header import LENGTH_BYTES, Header, TensorEntry, header_length, parse_header
from einloom.spec.errors import InputError

FLOAT_DTYPES: dict[str, npt.DTypeLike] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16}


@dataclass(frozen=True)
class SafetensorsFile:
    """A safetensors file whose header has been checked; tensors are read when they are asked for.

    Attributes
    ----------
    path : the file.
    header : its tensors and metadata.
    data_start : bytes before the first tensor.
    """

    path: Path
    header: Header
    data_start: int

    def read_bytes(self, name: str) -> bytes:
        """The tensor's bytes as they stand; InputError when they can't be read."""
        entry = self.header.entries[name]
        try:
            with self.path.open("rb") as file:
                file.seek(self.data_start + entry.begin)
                content = file.read(entry.end - entry.begin)
        except OSError as error:
            raise InputError(f"{self.path}: tensor {name}: cannot be read: {error.strerror}") from error
        if len(content) != entry.end - entry.begin:
            raise InputError(f"{self.path}: tensor {name}: the file was truncated while it was read")
        return content

    def read_float32(self, name: str) -> npt.NDArray[np.float32]:
        """The tensor as float32, rounded to nearest from float64; InputError when it isn't floating or isn't finite."""
        entry = self.header.entries[name]
        if entry.dtype not in FLOAT_DTYPES:
            raise InputError(
                f"{self.path}: tensor {name}: {entry.dtype} values cannot be read as weights; "
                f"convert them to one of {', '.join(FLOAT_DTYPES)}"
            )
        stored = np.frombuffer(self.read_bytes(name), FLOAT_DTYPES[entry.dtype]).reshape(entry.shape)
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which is refused below
            values = stored.astype(np.float32, copy=False)
        self._check_finite(entry, values)
        return values

    def _check_finite(self, entry: TensorEntry, values: npt.NDArray[np.float32]) -> None:
        finite = np.isfinite(values)
        if not finite.all():
            index = tuple(np.argwhere(~finite)[0].tolist())
            raise InputError(
                f"{self.path}: tensor {entry.name}: {np.size(finite) - np.count_nonzero(finite)} of its "
                f"{values.size} values are NaN or infinite in float32, the first at {list(index)}"
            )


def open_safetensors(path: Path) -> SafetensorsFile:
    """The safetensors file at `path`; InputError with the file, and the tensor, when its header doesn't hold."""
    try:
        with path.open("rb") as file:
            file_bytes = path.stat().st_size
            length = header_length(path, file.read(LENGTH_BYTES), file_bytes)
            text = file.read(length)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    start = LENGTH_BYTES + length
    return SafetensorsFile(path, parse_header(path, text, file_bytes - start), start)
