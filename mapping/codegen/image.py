"""The system memory's image: named pieces, each at whole beats."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Piece:
    """Named bytes from beat `offset` on; `size` bytes, of which the image holds the first `len(data)`."""

    name: str
    offset: int
    size: int
    data: bytes


class ImageBuilder:
    """Lays pieces out one after the other.

    Attributes
    ----------
    pieces : in the order of memory.
    beats : laid out so far.
    """

    def __init__(self, beat_bytes: int) -> None:
        self.pieces: list[Piece] = []
        self.beats = 0
        self._beat_bytes = beat_bytes

    def add(self, name: str, data: bytes, size: int | None = None) -> int:
        """Lay out `data`, and zeros up to `size` bytes; returns its first beat."""
        offset, size = self.beats, max(size or 0, len(data))
        self.pieces.append(Piece(name, offset, size, data))
        self.beats += -(-size // self._beat_bytes)
        return offset

    def floats(self, name: str, data: npt.NDArray[np.float32], elements: int) -> int:
        """Lay out float32 `data`, padded with zeros to `elements`."""
        padded = np.zeros(elements, "<f4")
        padded[: data.size] = data.ravel()
        return self.add(name, padded.tobytes())

    def rows(self, name: str, data: npt.NDArray[np.float32], elements: int) -> tuple[int, int]:
        """Lay out float32 rows [count, ...], each padded to `elements` and to whole beats; returns its first beat and
        the beats from one row to the next."""
        stride = -(-4 * elements // self._beat_bytes)
        padded = np.zeros((len(data), stride * self._beat_bytes // 4), "<f4")
        padded[:, : data.shape[1]] = data
        return self.add(name, padded.tobytes()), stride

    def reserve(self, name: str, size: int) -> int:
        """Room for `size` bytes, zeros in the image."""
        return self.add(name, b"", size)

    def bytes(self) -> npt.NDArray[np.uint8]:
        """The whole image."""
        image = np.zeros(self.beats * self._beat_bytes, np.uint8)
        for piece in self.pieces:
            start = piece.offset * self._beat_bytes
            image[start : start + len(piece.data)] = np.frombuffer(piece.data, np.uint8)
        return image
