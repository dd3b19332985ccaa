"""The system memory's image: named pieces, each at whole beats."""

import ml_dtypes
import numpy as np
import numpy.typing as npt

from einloom.spec.isa import Elements
from einloom.spec.program import Piece

Bytes = npt.NDArray[np.uint8]


def nothing(size: int) -> Bytes:
    """An image of `size` zero bytes that takes no memory."""
    return np.broadcast_to(np.uint8(0), size)


class ImageBuilder:
    """Lays pieces out one after the other.

    Attributes
    ----------
    pieces : named pieces in the order of memory.
    beats : number of beats laid out so far.
    """

    def __init__(self, beat_bytes: int, *, contents: bool = True) -> None:
        """Begin an image. Without `contents` pieces get their places, but the image is zeros that take no memory."""
        self.pieces: list[Piece] = []
        self.beats = 0
        self._beat_bytes = beat_bytes
        self._contents: dict[int, bytes] | None = {} if contents else None

    def add(self, name: str, data: bytes) -> int:
        """Lay out `data`; returns its first beat."""
        offset = self.reserve(name, len(data))
        if self._contents is not None:
            self._contents[offset] = data
        return offset

    def floats(self, name: str, data: npt.NDArray[np.float32], elements: int) -> int:
        """Lay out float32 `data`, padded with zeros to `elements`."""
        offset = self.reserve(name, 4 * elements)
        if self._contents is not None:
            self._contents[offset] = data.astype("<f4").tobytes()
        return offset

    def rows(
        self, name: str, data: npt.NDArray[np.float32], elements: int, kind: Elements = Elements.FLOAT32
    ) -> tuple[int, int]:
        """Lay out float32 rows [count, ...], each padded to `elements` and to whole beats; returns its first beat and
        the beats from one row to the next. As bfloat16 they are rounded to nearest, ties to even."""
        dtype = np.dtype(ml_dtypes.bfloat16 if kind is Elements.BFLOAT16 else "<f4")
        stride = -(-dtype.itemsize * elements // self._beat_bytes)
        offset = self.reserve(name, len(data) * stride * self._beat_bytes)
        if self._contents is not None:
            padded = np.zeros((len(data), stride * self._beat_bytes // dtype.itemsize), dtype)
            padded[:, : data.shape[1]] = data
            self._contents[offset] = padded.tobytes()
        return offset, stride

    def reserve(self, name: str, size: int) -> int:
        """Room for `size` bytes, zeros in the image; returns its first beat."""
        offset = self.beats
        self.pieces.append(Piece(name=name, offset=offset, size=size))
        self.beats += -(-size // self._beat_bytes)
        return offset

    def behind_channels(self, name: str, offset: int, beats: int) -> None:
        """Note a piece that lies in the window of every weight channel instead, from beat `offset` on."""
        self.pieces.append(Piece(name=name, offset=offset, size=beats * self._beat_bytes, in_channels=True))

    def bytes(self) -> Bytes:
        """The whole image."""
        size = self.beats * self._beat_bytes
        if self._contents is None:
            return nothing(size)
        image = np.zeros(size, np.uint8)
        for offset, data in self._contents.items():
            start = offset * self._beat_bytes
            image[start : start + len(data)] = np.frombuffer(data, np.uint8)
        return image
