"""The words that an instruction reads and writes, from its fields and the manifest alone.

This is written from the instruction set (spec/isa.py), not from the regions that code generation notes, so that each
can be held against the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.mapping.regions import Memory
from einloom.spec.errors import CheckFailed
from einloom.spec.instruction import Instruction
from einloom.spec.isa import REDUCTIONS, Elements, Operand, Rows, Space, VectorOp
from einloom.spec.manifest import AttentionManifest, CoreManifest, GemmManifest, Manifest
from einloom.spec.program import Piece

Words = npt.NDArray[np.int64]
Touched = dict[Memory, Words]
POSITION_ELEMENTS = 3
"""Elements behind those of a query: its scale, and its position in two halves."""


@dataclass(frozen=True)
class Footprint:
    """Words of each memory, in a chunk of as many tokens as the core takes at once.

    A word holds `core.lanes` elements. A word of the activation buffer stands for that of every token, and one of the
    staging buffer for that of every row of a tile. Each column of the query buffer has words of its own. A word of the
    system memory is the number of one of the program's pieces.
    """

    reads: Touched
    writes: Touched


class Footprints:
    """Finds the footprints of a program's instructions on a design; CheckFailed when one reaches outside a memory."""

    def __init__(self, manifest: Manifest, pieces: Sequence[Piece]) -> None:
        self._core: CoreManifest = manifest.core
        self._gemm: GemmManifest = manifest.gemm
        self._attention: AttentionManifest = manifest.attention
        self._beat = manifest.gemm.weights.beat_bits // 8
        self._starts = np.array([piece.offset for piece in pieces], np.int64)
        self._ends = np.array([piece.offset - -piece.size // self._beat for piece in pieces], np.int64)
        self._in_channels = np.array([piece.in_channels for piece in pieces], np.bool_)
        self._cached = Memory.CACHE if self._core.cache_in_channels else Memory.SYSTEM
        lanes = self._core.attention_lanes
        self.sizes = {
            Memory.VECTOR: manifest.core.vector_words,
            Memory.ACTIVATIONS: manifest.core.activation_words,
            Memory.QUERIES: lanes * manifest.core.query_words * manifest.attention.columns,
            Memory.STAGING: lanes * manifest.core.staging_words,
            Memory.SYSTEM: len(pieces),
            Memory.CACHE: len(pieces),
            Memory.TOKENS: 1,
        }
        self._known: dict[tuple[object, ...], Footprint] = {}
        self._touched: dict[str, Callable[[Instruction], tuple[Touched, Touched]]] = {
            "gemm": self._product,
            "vector": self._vector,
            "attend": self._attend,
            "load": self._load,
            "tokens": self._tokens,
            "store": self._store,
            "store_kv": self._store_kv,
        }

    def of(self, i: Instruction) -> Footprint:
        """The footprint of one instruction; layers have many that are alike."""
        key = (i.opcode.name, *(i[field.name] for field in i.opcode.fields))
        if key not in self._known:
            self._known[key] = self._find(i)
        return self._known[key]

    def _find(self, i: Instruction) -> Footprint:
        reads, writes = self._touched[i.opcode.name](i) if i.opcode.name in self._touched else ({}, {})
        for touched in (reads, writes):
            for memory, words in touched.items():
                last = int(words.max(initial=-1))
                if last >= self.sizes[memory]:
                    raise CheckFailed(f"reaches word {last} of {self.sizes[memory]} of the {memory.value}")
        return Footprint(reads, writes)

    def _product(self, i: Instruction) -> tuple[Touched, Touched]:
        inputs, outputs = i["blocks"] * self._gemm.weights.block, i["tiles"] * self._gemm.columns
        taken = i["activations"] + np.arange(-(-inputs // self._core.lanes))
        results = _walk(i["d_base"], (self._gemm.rows, i["d_token"]), (outputs // self._core.lanes, 1))
        return {Memory.ACTIVATIONS: taken}, {Memory.VECTOR: results}

    def _vector(self, i: Instruction) -> tuple[Touched, Touched]:
        shape = (self._gemm.rows, i["outer"], i["inner"])
        read = [self._operand(i, "a", shape)]
        read += [self._operand(i, letter, shape) for x, letter in (("x", "b"), ("y", "c")) if i[x] == Operand.VECTOR]
        inner = min(1, i["inner"]) if VectorOp(i["op"]) in REDUCTIONS else i["inner"]
        return {Memory.VECTOR: np.concatenate(read)}, self._destination(i, inner)

    def _operand(self, i: Instruction, letter: str, shape: tuple[int, int, int]) -> Words:
        strides = (i[f"{letter}_token"], i[f"{letter}_outer"], i[f"{letter}_inner"])
        return _walk(i[f"{letter}_base"], *zip(shape, strides, strict=True))

    def _destination(self, i: Instruction, inner: int) -> Touched:
        tokens, outer = self._gemm.rows, (i["outer"], i["d_outer"])
        match i["space"]:
            case Space.VECTOR:
                return {Memory.VECTOR: _walk(i["d_base"], (tokens, i["d_token"]), outer, (inner, 1))}
            case Space.ACTIVATIONS:
                return {Memory.ACTIVATIONS: _walk(i["d_base"], outer, (inner, 1))}
            case Space.KEY_VALUES:
                return {Memory.STAGING: _walk(i["d_base"], outer, (inner, 1))}
        token = np.arange(tokens)[:, None, None]
        column = token % (1 << i["block"]) * i["outer"] + np.arange(i["outer"])[:, None]
        word = i["d_base"] + token // (1 << i["block"]) * i["d_token"] + np.arange(inner)
        return {Memory.QUERIES: self._query_words(column, word)}

    def _query_words(self, column: Words, word: Words) -> Words:
        words = self._core.attention_lanes * self._core.query_words
        if column.max(initial=-1) >= self._attention.columns or word.max(initial=-1) >= words:
            raise CheckFailed(
                f"reaches word {word.max(initial=-1)} of column {column.max(initial=-1)} of the query buffer"
            )
        return np.unique(column * words + word)

    def _attend(self, i: Instruction) -> tuple[Touched, Touched]:
        lanes, tokens = self._core.lanes, min(i["count"], self._gemm.rows - i["first"])
        at_work, each = self._lanes_at_work(i), self._core.query_words
        starts = ["queries", *(["sink_queries"] if self._core.cache_ring and i["sinks"] else [])]
        ends = {name: (i[name] + i["query_head"] + POSITION_ELEMENTS - 1) // lanes for name in starts}
        if max(ends.values()) >= each:
            raise CheckFailed(f"reaches word {max(ends.values())} of {each} of a lane's query buffer")
        columns = np.arange(tokens * i["group"])[:, None]
        read = np.concatenate([np.arange(i[name] // lanes, last + 1) for name, last in ends.items()])
        words = np.arange(at_work)[:, None] * each + np.unique(read)
        reads = {
            Memory.QUERIES: self._query_words(columns, words.ravel()),
            self._cached: np.concatenate([self._piece(i[name], 1, self._cached) for name in ("keys", "values")]),
        }
        made = -(-i["value_head"] // lanes)
        base = i["d_base"] + i["first"] * i["d_token"]
        strides = (tokens, i["d_token"]), (at_work * i["group"], i["d_outer"]), (made, 1)
        return reads, {Memory.VECTOR: _walk(base, *strides)}

    def _load(self, i: Instruction) -> tuple[Touched, Touched]:
        size = i["words"] * self._core.lanes * (2 if i["elements"] == Elements.BFLOAT16 else 4)
        beats = -(-size // self._beat)
        reads = {Memory.SYSTEM: self._piece(i["offset"], beats)}
        if i["rows"] == Rows.TOKENS:
            reads[Memory.TOKENS] = np.zeros(1, np.int64)
        tokens = 1 if i["rows"] == Rows.ONE else self._gemm.rows
        return reads, {Memory.VECTOR: _walk(i["d_base"], (tokens, i["d_token"]), (i["words"], 1))}

    def _tokens(self, i: Instruction) -> tuple[Touched, Touched]:
        return {Memory.SYSTEM: self._piece(i["offset"], 1)}, {Memory.TOKENS: np.zeros(1, np.int64)}

    def _store(self, i: Instruction) -> tuple[Touched, Touched]:
        words = _walk(i["a_base"], (self._gemm.rows, i["a_token"]), (i["words"], 1))
        beats = (self._gemm.rows - 1) * i["stride"] + i["words"] * self._core.lanes * 4 // self._beat
        return {Memory.VECTOR: words}, {Memory.SYSTEM: self._piece(i["offset"], beats)}

    def _store_kv(self, i: Instruction) -> tuple[Touched, Touched]:
        words = i["base"] + np.arange(self._core.cache.token_scales + -(-i["elements"] // self._core.lanes))
        if words.max(initial=-1) >= self._core.staging_words:
            raise CheckFailed(f"reaches word {words.max()} of {self._core.staging_words} of a lane's staging buffer")
        lanes = np.arange(self._lanes_at_work(i))[:, None] * self._core.staging_words
        return {Memory.STAGING: (lanes + words).ravel()}, {self._cached: self._piece(i["offset"], 1, self._cached)}

    def _lanes_at_work(self, i: Instruction) -> int:
        return min(i["other_lanes"] + 1, self._core.attention_lanes)

    def _piece(self, beat: int, beats: int, memory: Memory = Memory.SYSTEM) -> Words:
        """The piece of the memory's images that holds `beats` from `beat` on."""
        mine = self._in_channels == (memory is Memory.CACHE)
        found = np.flatnonzero(mine & (self._starts <= beat) & (beat + beats <= self._ends))
        if not len(found):
            raise CheckFailed(f"beats {beat} to {beat + beats - 1} lie in no piece of the image")
        return found[:1]


def _walk(base: int, *steps: tuple[int, int]) -> Words:
    """The different words at base + sum of n_k * stride_k, for (count, stride) of each step."""
    words = np.array([base], np.int64)
    for count, stride in steps:
        words = (words[:, None] + np.arange(count) * stride).ravel()
        if not stride and count:
            words = words[::count]
    return words if (np.diff(words) > 0).all() else np.unique(words)
