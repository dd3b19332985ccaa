"""Models of any size on a core whose sizes are whole blocks and words: zeros make up the difference."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.models.cache_scales import CacheScales
from einloom.models.decoder_graph import Attention, Axis, DecoderGraph, Tensor
from einloom.spec.attention_format import MIN_HEAD
from einloom.spec.manifest import CoreManifest

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """Attention's shape: `count` query heads of `size`, in groups that share one of `groups` key/value heads.

    `unpadded` is the model's own size of a head.
    """

    count: int
    groups: int
    size: int
    unpadded: int

    @property
    def group(self) -> int:
        """Query heads that share a key/value head."""
        return self.count // self.groups


@dataclass(frozen=True)
class PaddedSizes:
    """Sizes of a model on a core.

    Attributes
    ----------
    hidden, inner : elements of a token between layers, and inside the MLP: whole blocks of the engine's weights.
    heads : the shape of attention; halves of a head are whole words.
    mixed : elements of all heads' outputs, with zeros behind the last head up to a whole block.
    """

    hidden: int
    inner: int
    heads: Heads
    mixed: int

    @classmethod
    def of(cls, graph: DecoderGraph, core: CoreManifest) -> "PaddedSizes":
        """The smallest sizes that a core takes."""
        step = math.lcm(core.lanes, core.gemm.weights.block)
        heads = _heads(graph.attention, core)
        return cls(_whole(graph.hidden, step), _whole(graph.inner, step), heads, _whole(heads.count * heads.size, step))

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """The tensor's shape in these sizes."""
        return tuple(self._size(axis, size) for axis, size in zip(tensor.axes, tensor.shape, strict=True))

    def linears(self, graph: DecoderGraph, matrices: Mapping[str, Floats]) -> dict[str, Floats]:
        """The matrices [outputs, inputs] of a model's linear layers in these sizes."""
        return {tensor.name: self.padded(tensor, matrices[tensor.name]) for tensor in graph.linears()}

    def padding(self, graph: DecoderGraph, columns: int) -> float:
        """Share of the weights in memory, 0 to 1, that are zeros: inputs up to whole blocks, outputs up to whole tiles
        of `columns`. A token multiplies each weight once, so it is the share of the multiplications too."""
        shapes = [(tensor.shape, self.shape(tensor)) for tensor in graph.linears()]
        own = sum(math.prod(shape) for shape, _ in shapes)
        return 1 - own / sum(_whole(outputs, columns) * inputs for _, (outputs, inputs) in shapes)

    def padded(self, tensor: Tensor, values: Floats) -> Floats:
        """The tensor's values in these sizes, zeros where the model has nothing.

        A head's halves, which RoPE rotates against each other, are padded each: elements of zero weights stay zero
        through the rotation, add nothing to scores, and meet zero weights in the output projection.
        """
        for n, axis in enumerate(tensor.axes):
            if axis in (Axis.HEADS, Axis.MIXED):
                moved = pad_halves(np.moveaxis(values, n, -1), self.heads.unpadded, self.heads.size)
                values = np.moveaxis(moved, -1, n)
        widths = [(0, new - old) for new, old in zip(self.shape(tensor), values.shape, strict=True)]
        return np.ascontiguousarray(np.pad(values, widths) if any(w for _, w in widths) else values)

    def cut(self, tensor: Tensor, values: Floats) -> Floats:
        """What `padded` made `values` of, in the model's own sizes."""
        for n, (axis, size) in enumerate(zip(tensor.axes, tensor.shape, strict=True)):
            numbered = self.padded(Tensor("places", (size,), (axis,)), np.arange(1, size + 1, dtype=np.float32))
            if len(numbered) != size:
                values = np.take(values, np.flatnonzero(numbered), axis=n)
        return values

    def scales(self, scales: CacheScales, *, per_head: bool) -> CacheScales:
        """Scales of a layer's cache for padded heads; those of the zeros are 1. With `per_head` all of a head's are its
        largest, over the factors."""

        def padded(x: Floats, fill: float) -> Floats:
            return pad_halves(x, scales.keys.shape[-1], self.heads.size, fill)

        if not per_head:
            return CacheScales(padded(scales.keys, 1.0), padded(scales.values, 1.0))
        means = np.zeros_like(scales.keys) if scales.means is None else scales.means
        factors = np.ones_like(scales.keys) if scales.factors is None else scales.factors
        keys = (scales.keys * factors).max(axis=-1, keepdims=True) / padded(factors, 1.0)
        values = np.broadcast_to(scales.values.max(axis=-1, keepdims=True), keys.shape)
        return CacheScales(keys, values, padded(means, 0.0))

    def _size(self, axis: Axis, size: int) -> int:
        match axis:
            case Axis.HIDDEN:
                return self.hidden
            case Axis.INNER:
                return self.inner
            case Axis.MIXED:
                return self.mixed
            case Axis.HEADS:
                return size // self.heads.unpadded * self.heads.size
        return size


def _heads(attention: Attention, core: CoreManifest) -> Heads:
    return Heads(attention.heads, attention.groups, padded_size(attention.size, core.lanes), attention.size)


def padded_size(size: int, lanes: int) -> int:
    """The smallest head that holds `size` elements and whose halves are whole words of `lanes`."""
    return _whole(max(size, MIN_HEAD), 2 * lanes)


def pad_halves(x: Floats, size: int, new: int, fill: float = 0.0) -> Floats:
    """The last axis is heads of `size`; each half of each head is filled up to new / 2."""
    if size == new:
        return x
    halves = x.reshape(*x.shape[:-1], -1, size // 2)
    widths = [(0, 0)] * (halves.ndim - 1) + [(0, (new - size) // 2)]
    result: Floats = np.pad(halves, widths, constant_values=fill).reshape(*x.shape[:-1], -1).astype(np.float32)
    return result


def _whole(size: int, step: int) -> int:
    return -(-size // step) * step
