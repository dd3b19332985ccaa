"""Tensors of model files as the graph has them: under canonical names, split, turned and folded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Protocol

import numpy as np
import numpy.typing as npt

from einloom.models.decoder_graph import DecoderGraph, Tensor
from einloom.models.family.tensor_names import LAYER, TensorNames
from einloom.models.lazy_tensors import LazyTensors
from einloom.spec.errors import InputError

Floats = npt.NDArray[np.float32]
EAGER_BYTES = 1 << 30
"""Float32 bytes of a model up to which all of it is read, and checked, at once."""
OF_HEADS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.q_norm", "self_attn.k_norm")
"""Modules whose outputs RoPE rotates, so that the order of a head's elements matters."""


class TensorFiles(Protocol):
    """Tensors of some files, by their names there."""

    def __contains__(self, name: str) -> bool: ...

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape, outputs first."""

    def read_float32(self, name: str) -> Floats:
        """The tensor; InputError when it can't be read."""

    def error(self, name: str, problem: str) -> InputError:
        """What is wrong with the tensor `name`."""

    def digest(self) -> str:
        """Digest of the files' content; InputError when it can't be read."""


@dataclass(frozen=True)
class Storage:
    """How files store the tensors of a model.

    Attributes
    ----------
    names : what they are called.
    prefix : what stands before all names but the head's.
    head_order : which element of a stored head comes at each place of a canonical one.
    """

    names: TensorNames
    prefix: str
    head_order: tuple[int, ...]

    def read(self, files: TensorFiles, graph: DecoderGraph) -> tuple[Mapping[str, Floats], set[str]]:
        """All tensors of the graph, and the names in the files that they came from.

        Those of a model of more than EAGER_BYTES are read from the files whenever they are asked for. InputError when
        one is missing or not as it should be; of a number that isn't finite in so large a model, when it is read.
        """
        wanted = {tensor.name: tensor for tensor in graph.tensors()}
        readers, used = dict[str, Callable[[], Floats]](), set[str]()
        for name, tensor in wanted.items():
            stored = self.names.stored(name)
            if graph.tied or name != graph.head.linear.weight:
                stored = self.prefix + stored
            skipped = self.names.position_offset if name == graph.embedding.positions else 0
            parts = [wanted[other] for other in self.names.neighbours(name)]
            self._check(files, tensor, stored, parts, skipped)
            readers[name] = partial(self._canonical, files, tensor, stored, parts, skipped)
            used.add(stored)
        if 4 * sum(prod(tensor.shape) for tensor in wanted.values()) > EAGER_BYTES:
            return LazyTensors(readers, files.digest), used
        return {name: read() for name, read in readers.items()}, used

    def _check(self, files: TensorFiles, tensor: Tensor, stored: str, parts: Sequence[Tensor], skipped: int) -> None:
        expected = (sum(part.shape[0] for part in parts) + skipped, *tensor.shape[1:])
        expected = expected[::-1] if self._transposed(tensor) else expected
        if stored not in files:
            raise files.error(stored, "is missing, but {config} for it")
        if files.shape(stored) != expected:
            raise files.error(stored, f"has the shape {files.shape(stored)}, but {{config}} for {expected}")

    def _transposed(self, tensor: Tensor) -> bool:
        in_layer = LAYER.fullmatch(tensor.name.rpartition(".")[0]) is not None
        return self.names.transposed and len(tensor.shape) == 2 and in_layer

    def _canonical(
        self, files: TensorFiles, tensor: Tensor, stored: str, parts: Sequence[Tensor], skipped: int
    ) -> Floats:
        """The part of the tensor `stored` that is `tensor`, behind `skipped` rows."""
        module, _, kind = tensor.name.rpartition(".")
        layer = LAYER.fullmatch(module)
        values = files.read_float32(stored)
        values = values.T if self._transposed(tensor) else values
        first = skipped + sum(part.shape[0] for part in parts[: parts.index(tensor)])
        values = values[first : first + tensor.shape[0]]
        if layer and layer[2] in OF_HEADS:
            values = in_order(values, self.head_order)
        if "norm" in module and kind == "weight" and self.names.norm_offset:
            values = values + np.float32(self.names.norm_offset)
        return np.ascontiguousarray(values)


def in_order(rows: Floats, order: Sequence[int]) -> Floats:
    """Rows of heads [heads * size, ...] with the elements of each head in another order."""
    if list(order) == sorted(order):
        return rows
    heads = rows.reshape(-1, len(order), *rows.shape[1:])
    return heads[:, list(order)].reshape(rows.shape)


def describe_unused(unused: Sequence[str], shown: int) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(unused) - shown} more" if len(unused) > shown else ""
    return f"{', '.join(unused[:shown])}{more}"
