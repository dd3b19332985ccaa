"""A window whose beats lie side by side in several memories."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from einloom.sim.golden.memories import require

Bytes = npt.NDArray[np.uint8]


class StripedWindow:
    """Beat n of the window is beat n of each of `windows`, side by side; each is an image of whole `beat` bytes."""

    def __init__(self, windows: Sequence[Bytes], beat: int) -> None:
        self._windows, self._beat = tuple(windows), beat
        self._size = min(window.size for window in windows)

    def read(self, start: int, size: int) -> Bytes:
        """`size` bytes from `start` on, both whole beats of the window; IndexError when they reach outside it."""
        return np.stack(self._parts(start, size), axis=1).reshape(-1)

    def write(self, start: int, data: Bytes) -> None:
        """Replace whole beats from byte `start` on."""
        beats = data.reshape(-1, len(self._windows), self._beat)
        for n, part in enumerate(self._parts(start, data.size)):
            part[:] = beats[:, n]

    def _parts(self, start: int, size: int) -> list[Bytes]:
        """What each of the windows has of these bytes, [beats, beat]."""
        count = len(self._windows)
        first, end = start // count, (start + size) // count
        require(end <= self._size, f"reaches byte {end} of a window of {self._size}")
        return [window[first:end].reshape(-1, self._beat) for window in self._windows]
