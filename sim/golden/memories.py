"""State that the units of a core share: the chunk of tokens at work, and the memories on the chip."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from einloom.spec.manifest import Manifest

Bits = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.int64]


@dataclass
class Chunk:
    """The tokens at work.

    Attributes
    ----------
    row : of the first token in the table of tokens.
    tokens : number of tokens.
    last : True when no chunk follows.
    position : of the first token; its row until the table is read.
    place : beats by which its sequence's keys and values lie behind those that the program names.
    """

    row: int
    tokens: int
    last: bool
    position: int = -1
    place: int = 0

    def __post_init__(self) -> None:
        if self.position < 0:
            self.position = self.row


class Memories:
    """Memories of a core, all zeros. Words are on the last axis but one, lanes on the last.

    Attributes
    ----------
    vector : uint32 [words, lanes].
    activations : int8 [tokens, words, lanes].
    queries : int16 [columns, words, lanes], those of one attention lane behind those of the one before.
    staging : int8 [rows of a tile, words, lanes], likewise.
    ids : ids of the chunk's tokens.
    """

    def __init__(self, manifest: Manifest) -> None:
        core, gemm, attention = manifest.core, manifest.core.gemm, manifest.core.attention
        self.vector = np.zeros((core.vector_words, core.lanes), np.uint32)
        self.activations = np.zeros((gemm.rows, core.activation_words, core.lanes), np.int8)
        each = core.attention_lanes
        self.queries = np.zeros((attention.columns, each * core.query_words, core.lanes), np.int16)
        self.staging = np.zeros((attention.rows, each * core.staging_words, core.lanes), np.int8)
        self.ids = np.zeros(gemm.rows, np.int64)


@lru_cache(maxsize=1 << 14)
def walk(base: int, strides: tuple[int, int, int], shape: tuple[int, int, int], words: int) -> Indices:
    """The words at base + t * token + o * outer + i * inner, [tokens, outer, inner], of a memory of `words`.

    IndexError when one lies outside.
    """
    t, o, i = (np.arange(size) * stride for size, stride in zip(shape, strides, strict=True))
    found: Indices = base + t[:, None, None] + o[:, None] + i
    require(int(found.max(initial=0)) < words, f"reaches word {found.max(initial=0)} of {words}")
    found.flags.writeable = False
    return found


def require(inside: bool, message: str) -> None:
    """IndexError unless an instruction stays inside a memory."""
    if not inside:
        raise IndexError(message)
