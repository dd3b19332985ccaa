"""Tensors that are computed or read whenever they are asked for, and kept by whoever asked."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class LazyTensors(Mapping[str, Floats]):
    """A mapping of which each value is made anew by its function: a model that is larger than memory should hold.

    Attributes
    ----------
    digest : gives a digest of the files that values are read from, which stands for the values; None where they come
        from elsewhere.
    """

    def __init__(self, readers: Mapping[str, Callable[[], Floats]], digest: Callable[[], str] | None = None) -> None:
        self._readers, self.digest = readers, digest

    def __getitem__(self, name: str) -> Floats:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __contains__(self, name: object) -> bool:
        return name in self._readers
