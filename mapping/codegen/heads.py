"""Heads of any size on a core that takes only some: zeros make up the difference."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from einloom.models.cache_scales import CacheScales
from einloom.models.importer.llama_config import LlamaConfig
from einloom.spec.attention_format import MIN_HEAD

Floats = npt.NDArray[np.float32]


def padded_size(size: int, lanes: int) -> int:
    """The smallest head that holds `size` elements and whose halves are whole words of `lanes`."""
    step = 2 * lanes
    return -(-max(size, MIN_HEAD) // step) * step


def pad_heads(config: LlamaConfig, linears: Mapping[str, Floats], lanes: int) -> dict[str, Floats]:
    """The matrices of a Llama's linear layers, with heads padded to what a core of so many lanes takes.

    A head's halves, which RoPE rotates against each other, are padded each: elements of zero weights stay zero through
    the rotation, add nothing to scores, and meet zero weights in the output projection.
    """
    new = padded_size(config.head_dim, lanes)
    if new == config.head_dim:
        return dict(linears)
    padded = {}
    for name, matrix in linears.items():
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
            padded[name] = np.ascontiguousarray(_pad(matrix.T, config.head_dim, new).T)
        elif name.endswith("o_proj.weight"):
            padded[name] = _pad(matrix, config.head_dim, new)
        else:
            padded[name] = matrix
    return padded


def pad_scales(scales: CacheScales, new: int) -> CacheScales:
    """Scales for padded heads; those of the zeros are 1."""
    size = scales.keys.shape[-1]
    return CacheScales(*(_pad(s, size, new, fill=1.0) for s in (scales.keys, scales.values)))


def _pad(x: Floats, size: int, new: int, fill: float = 0.0) -> Floats:
    """The last axis is heads of `size`; each half of each head is filled up to new / 2."""
    halves = x.reshape(*x.shape[:-1], -1, size // 2)
    widths = [(0, 0)] * (halves.ndim - 1) + [(0, (new - size) // 2)]
    result: Floats = np.pad(halves, widths, constant_values=fill).reshape(*x.shape[:-1], -1).astype(np.float32)
    return result
