"""The float parameters of a layer, which are fetched into the vector memory before it starts."""

import numpy as np
import numpy.typing as npt

from mapping.codegen.builder import ProgramBuilder
from mapping.codegen.regions import Operand, Region

Floats = npt.NDArray[np.float32]


class LayerParameters:
    """Named vectors in one shared region, each from a whole word on."""

    def __init__(self, region: Region, offsets: dict[str, int]) -> None:
        self._region = region
        self._offsets = offsets

    def __getitem__(self, name: str) -> Operand:
        """The whole vector `name`."""
        return self.operand(name)

    def operand(self, name: str, offset: int = 0) -> Operand:
        """The vector `name` from word `offset` on."""
        return self._region.at(self._offsets[name] + offset)


class ParameterLoads:
    """Fetches the parameters of one layer while the layer before is computed: two regions take turns."""

    def __init__(self, p: ProgramBuilder, sizes: list[int]) -> None:
        """`sizes` are the elements of each vector."""
        words = sum(p.words(size) for size in sizes)
        self._p = p
        self._regions = [p.vector.region(f"parameters{n}", words) for n in range(2)]
        self._turn = 0

    def fetch(self, name: str, vectors: dict[str, Floats]) -> LayerParameters:
        """Load `vectors`; those of the fetch before the last are overwritten."""
        p, region = self._p, self._regions[self._turn]
        self._turn = 1 - self._turn
        offsets, padded, at = dict[str, int](), list[Floats](), 0
        for key, vector in vectors.items():
            words = p.words(vector.size)
            offsets[key] = at
            padded.append(np.pad(vector.ravel(), (0, words * p.core.lanes - vector.size)))
            at += words
        p.note(f"{name}: parameters")
        data = np.concatenate(padded).astype(np.float32)
        offset = p.image.floats(f"{name} parameters", data, data.size)
        p.emit("load", (), {region}, offset=offset, words=at, d_base=region.base)
        return LayerParameters(region, offsets)
