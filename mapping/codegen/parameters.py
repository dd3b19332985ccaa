"""The float parameters of a layer, which are fetched into the vector memory before it starts."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.regions import Operand, Region

Floats = npt.NDArray[np.float32]


class LayerParameters:
    """Named vectors in shared regions, each from a whole word on."""

    def __init__(self) -> None:
        self._vectors: dict[str, Operand] = {}

    def place(self, name: str, at: Operand) -> None:
        """Note that the vector `name` is at `at`."""
        self._vectors[name] = at

    def __getitem__(self, name: str) -> Operand:
        """The whole vector `name`."""
        return self._vectors[name]

    def __contains__(self, name: str) -> bool:
        return name in self._vectors

    def operand(self, name: str, offset: int = 0) -> Operand:
        """The vector `name` from word `offset` on."""
        whole = self._vectors[name]
        return whole.region.at(whole.offset + offset)

    def bias(self, name: str, offset: int = 0) -> Operand | None:
        """The bias of the vector `name` from word `offset` on; None where there is none."""
        return self.operand(f"{name}.bias", offset) if f"{name}.bias" in self else None


class ParameterLoads:
    """Fetches the parameters of one layer while the layer before is computed: two sets of regions take turns.

    Vectors come in groups, in the order in which they are needed, so that the first need not wait for the last.
    """

    def __init__(self, p: ProgramBuilder, sizes: Sequence[Sequence[int]]) -> None:
        """`sizes` are the elements of each vector of each group."""
        self._p = p
        self._regions = [
            [
                p.vector.region(f"parameters{n}.{g}", sum(p.words(size) for size in group))
                for g, group in enumerate(sizes)
            ]
            for n in range(2)
        ]
        self._turn = 0

    def fetch(self, name: str, groups: Sequence[Mapping[str, Floats]]) -> LayerParameters:
        """Load the vectors; those of the fetch before the last are overwritten."""
        found = LayerParameters()
        self._p.note(f"{name}: parameters")
        for region, vectors in zip(self._regions[self._turn], groups, strict=True):
            if vectors:
                self._load(name, region, vectors, found)
        self._turn = 1 - self._turn
        return found

    def _load(self, name: str, region: Region, vectors: Mapping[str, Floats], found: LayerParameters) -> None:
        p, padded, at = self._p, list[Floats](), 0
        for key, vector in vectors.items():
            words = p.words(vector.size)
            found.place(key, region.at(at))
            padded.append(np.pad(vector.ravel(), (0, words * p.core.lanes - vector.size)))
            at += words
        if at > region.words:
            raise ValueError(f"{name}: {at} words of parameters for a region of {region.words}")
        data = np.concatenate(padded).astype(np.float32)
        offset = p.image.floats(f"{name} {', '.join(vectors)}", data, data.size)
        p.emit("load", (), {region}, offset=offset, words=at, d_base=region.base)
