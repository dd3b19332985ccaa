"""Models of any size on a core whose sizes are whole blocks and words: zeros make up the difference."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.models.cache_scales import CacheScales
from einloom.models.importer.llama_config import LlamaConfig
from einloom.spec.attention_format import MIN_HEAD
from einloom.spec.manifest import CoreManifest

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """Attention's shape: `count` query heads of `size`, in groups that share one of `groups` key/value heads.

    `unpadded` is the model's own size of a head, which scales the scores.
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
    head : elements of a head, whose halves are whole words.
    mixed : elements of all heads' outputs, with zeros behind the last head up to a whole block.
    """

    hidden: int
    inner: int
    head: int
    mixed: int

    @classmethod
    def of(cls, config: LlamaConfig, core: CoreManifest) -> "PaddedSizes":
        """The smallest sizes that a core takes."""
        step = math.lcm(core.lanes, core.gemm.weights.block)
        head = padded_size(config.head_dim, core.lanes)
        return cls(
            _whole(config.hidden_size, step),
            _whole(config.intermediate_size, step),
            head,
            _whole(config.num_attention_heads * head, step),
        )

    def heads(self, config: LlamaConfig) -> Heads:
        """The shape of attention."""
        return Heads(config.num_attention_heads, config.num_key_value_heads, self.head, config.head_dim)

    def matrix(self, config: LlamaConfig, name: str, outputs: int) -> tuple[int, int]:
        """Outputs and inputs of the matrix `name` in these sizes, which has `outputs` in the model."""
        kind = name.split(".")[-2]
        if kind in ("o_proj", "down_proj"):
            return self.hidden, self.mixed if kind == "o_proj" else self.inner
        if kind in ("q_proj", "k_proj", "v_proj"):
            return outputs // config.head_dim * self.head, self.hidden
        return self.inner if kind in ("gate_proj", "up_proj") else outputs, self.hidden

    def linears(self, config: LlamaConfig, matrices: Mapping[str, Floats]) -> dict[str, Floats]:
        """The matrices [outputs, inputs] of a Llama's linear layers in these sizes.

        A head's halves, which RoPE rotates against each other, are padded each: elements of zero weights stay zero
        through the rotation, add nothing to scores, and meet zero weights in the output projection.
        """
        return {name: self._linear(config, name, matrix) for name, matrix in matrices.items()}

    def _linear(self, config: LlamaConfig, name: str, matrix: Floats) -> Floats:
        kind, size = name.split(".")[-2], self.matrix(config, name, len(matrix))
        if kind == "o_proj":
            matrix = _pad_halves(matrix, config.head_dim, self.head)
        elif kind in ("q_proj", "k_proj", "v_proj"):
            matrix = np.ascontiguousarray(_pad_halves(matrix.T, config.head_dim, self.head).T)
        return _grow(matrix, *size)

    def norm(self, gamma: Floats) -> Floats:
        """Weights of a norm in these sizes."""
        return np.pad(gamma, (0, self.hidden - gamma.size))

    def scales(self, scales: CacheScales) -> CacheScales:
        """Scales of a layer's cache for padded heads; those of the zeros are 1."""
        size = scales.keys.shape[-1]
        return CacheScales(*(_pad_halves(s, size, self.head, fill=1.0) for s in (scales.keys, scales.values)))


def padded_size(size: int, lanes: int) -> int:
    """The smallest head that holds `size` elements and whose halves are whole words of `lanes`."""
    return _whole(max(size, MIN_HEAD), 2 * lanes)


def _whole(size: int, step: int) -> int:
    return -(-size // step) * step


def _grow(matrix: Floats, outputs: int, inputs: int) -> Floats:
    """The matrix with zeros below and to the right."""
    if matrix.shape == (outputs, inputs):
        return matrix
    return np.pad(matrix, ((0, outputs - matrix.shape[0]), (0, inputs - matrix.shape[1])))


def _pad_halves(x: Floats, size: int, new: int, fill: float = 0.0) -> Floats:
    """The last axis is heads of `size`; each half of each head is filled up to new / 2."""
    if size == new:
        return x
    halves = x.reshape(*x.shape[:-1], -1, size // 2)
    widths = [(0, 0)] * (halves.ndim - 1) + [(0, (new - size) // 2)]
    result: Floats = np.pad(halves, widths, constant_values=fill).reshape(*x.shape[:-1], -1).astype(np.float32)
    return result
