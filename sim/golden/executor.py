"""The golden executor: a program and its memory in NumPy, instruction by instruction, in program order.

What an instruction does is written from its meaning in einloom/isa.py; that the units of a core run side by side
changes nothing, because the tokens say so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from einloom.attention import Mask
from einloom.errors import InputError
from einloom.isa import (
    INSTRUCTION_BYTES,
    REDUCTIONS,
    Condition,
    CoreError,
    Instruction,
    Operand,
    Rows,
    Space,
    VectorOp,
    decode,
)
from einloom.manifest import Manifest
from mapping.attention import attention_format
from sim.golden.fusemax import attend
from sim.golden.vector import bits, elementwise, floats, reduce, to_integer
from sim.golden.weight_stream import read_weights

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]
ID_BITS = 32
POSITION_LOW = 0xFFFF


class ExecutionError(InputError):
    """A program did something that stops a core; `code` says what, and `index` is the instruction's."""

    def __init__(self, index: int, message: str, code: CoreError = CoreError.WINDOW) -> None:
        super().__init__(f"instruction {index}: {message}")
        self.index = index
        self.code = code


@dataclass
class Chunk:
    """The tokens at work.

    Attributes
    ----------
    position : of the first one.
    tokens : number of them.
    last : no chunk follows.
    """

    position: int
    tokens: int
    last: bool


@dataclass
class GoldenCore:
    """A core: its memories, and what memory it sees.

    Attributes
    ----------
    system : the system window, changed by stores.
    weights : the window of each weight channel.
    executed : instructions carried out so far.
    """

    manifest: Manifest
    system: Bytes
    weights: tuple[Bytes, ...]
    executed: int = 0
    _index: int = 0
    _chunk: Chunk = field(default_factory=lambda: Chunk(0, 1, True))
    _fetched: list[tuple[int, int]] = field(default_factory=list)
    _programs: dict[tuple[int, int], list[Instruction]] = field(default_factory=dict)
    _walks: dict[tuple[int, ...], Indices] = field(default_factory=dict)
    _products: dict[tuple[object, ...], npt.NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        core, gemm, attention = self.manifest.core, self.manifest.gemm, self.manifest.attention
        if core is None or gemm is None or attention is None:
            raise InputError(f"{self.manifest.name} is an engine without a core, which runs no programs")
        self._core, self._gemm, self._attention = core, gemm, attention
        self._beat = gemm.weights.beat_bits // 8
        self._vector = np.zeros((core.vector_words, core.lanes), np.uint32)
        self._activations = np.zeros((gemm.rows, core.activation_words, core.lanes), np.int8)
        self._queries = np.zeros((attention.columns, core.query_words, core.lanes), np.int16)
        self._staging = np.zeros((attention.rows, core.staging_words, core.lanes), np.int8)
        self._ids = np.zeros(gemm.rows, np.int64)
        self._run: dict[str, Callable[[Instruction], None]] = {
            "weights": self._weights,
            "gemm": self._multiply,
            "vector": self._compute,
            "attend": self._attend,
            "load": self._load,
            "ids": self._load_ids,
            "store": self._store,
            "store_kv": self._store_kv,
        }

    def run(self, program: int, position: int, length: int) -> None:
        """Execute the program at beat `program` for `length` tokens from `position` on."""
        done, start, self._index = 0, program * self._beat, 0
        self._fetched.clear()
        while True:
            tokens = min(self._gemm.rows, length - done)
            self._chunk = Chunk(position + done, tokens, done + tokens == length)
            instruction = self._instruction(start)
            match instruction.opcode.name:
                case "end":
                    return
                case "next" if not self._chunk.last:
                    done += tokens
                    self._index = -1
                case "next":
                    pass
                case name if self._wanted(instruction):
                    self._run[name](instruction)
                    self.executed += 1
            self._index += 1

    def _instruction(self, start: int) -> Instruction:
        at = start + self._index * INSTRUCTION_BYTES
        raw = self._bytes(at, INSTRUCTION_BYTES).tobytes()
        cached = _decoded.get(raw)
        if cached is None:
            try:
                cached = _decoded[raw] = decode(raw)
            except InputError as error:
                raise ExecutionError(self._index, str(error), CoreError.ILLEGAL) from error
        return cached

    def _wanted(self, i: Instruction) -> bool:
        match i["condition"]:
            case Condition.TOKEN_PRESENT:
                return i["first"] < self._chunk.tokens
            case Condition.LAST_CHUNK:
                return self._chunk.last
        return True

    def _bytes(self, start: int, size: int) -> Bytes:
        """A view of the system window."""
        if start < 0 or start + size > self.system.size:
            raise ExecutionError(self._index, f"reaches byte {start + size} of a window of {self.system.size}")
        return self.system[start : start + size]

    # The units.

    def _weights(self, i: Instruction) -> None:
        self._fetched.append((i["offset"], i["beats"]))

    def _multiply(self, i: Instruction) -> None:
        layout = self._gemm.weights
        step = layout.steps[i["format"]]
        key = (i["format"], i["blocks"], i["tiles"], i["specials"], self._take_beats(i))
        if key not in self._products:
            self._products[key] = self._read_weights(*key)
        matrix = self._products[key]
        tokens, lanes, inputs = self._chunk.tokens, self._core.lanes, i["blocks"] * layout.block
        base = i["activations"]
        codes = self._activations[:tokens, base : base - (-inputs // lanes)].reshape(tokens, -1)[:, :inputs]
        # Below 2^53 a float64 product is exact (hw/pe proves the width of the sums).
        sums = codes.astype(np.float64) @ matrix
        words = matrix.shape[1] // lanes
        rows = self._walk(i["d_base"], i["d_token"], 0, 1, tokens, 1, words)[:, 0]
        self._vector[rows] = bits(sums.astype(np.float32)).reshape(tokens, words, lanes)
        assert step.index == i["format"]

    def _take_beats(self, i: Instruction) -> tuple[tuple[int, int], ...]:
        """The beats that a product consumes, as (first, count) runs, in order."""
        layout = self._gemm.weights
        wanted = layout.beats(layout.steps[i["format"]], i["blocks"], i["tiles"])
        taken = []
        while wanted:
            if not self._fetched:
                raise ExecutionError(self._index, f"{wanted} beats of weights are never fetched")
            offset, beats = self._fetched.pop(0)
            used = min(beats, wanted)
            if used:
                taken.append((offset, used))
            if used < beats:
                self._fetched.insert(0, (offset + used, beats - used))
            wanted -= used
        return tuple(taken)

    def _read_weights(
        self, format: int, blocks: int, tiles: int, specials: int, runs: tuple[tuple[int, int], ...]
    ) -> npt.NDArray[np.float64]:
        streams = []
        for window in self.weights:
            for offset, beats in runs:
                if (offset + beats) * self._beat > window.size:
                    raise ExecutionError(self._index, "the weights reach beyond a channel's window")
            streams.append(np.concatenate([window[o * self._beat : (o + b) * self._beat] for o, b in runs]))
        return read_weights(streams, self._gemm, format, blocks, tiles, specials).T.astype(np.float64)

    def _compute(self, i: Instruction) -> None:
        shape = (self._chunk.tokens, i["outer"], i["inner"])
        if 0 in shape:
            return
        op = VectorOp(i["op"])

        def operand(letter: str) -> npt.NDArray[np.uint32]:
            base, token, outer, inner = (i[f"{letter}_{name}"] for name in ("base", "token", "outer", "inner"))
            return self._vector[self._walk(base, token, outer, inner, *shape)]

        def chosen(kind: int, letter: str) -> npt.NDArray[np.uint32] | None:
            if kind == Operand.IMMEDIATE:
                return np.full((1, 1, 1, 1), i["immediate"], np.uint32)
            return operand(letter) if kind == Operand.VECTOR else None

        a, x = operand("a"), chosen(i["x"], "b")
        negate = bool(i["negate"])
        if op in REDUCTIONS:
            total = reduce(op, a, x, negate=negate)[..., None, None]
            self._write(i, np.broadcast_to(total, (*total.shape[:3], self._core.lanes)), 1)
        else:
            self._write(i, elementwise(op, a, x, chosen(i["y"], "c"), negate=negate), i["inner"])

    def _write(self, i: Instruction, result: npt.NDArray[np.uint32], inner: int) -> None:
        """Put `result` [tokens, outer, inner, lanes] where the instruction says."""
        tokens, outer, space = self._chunk.tokens, i["outer"], i["space"]
        if space == Space.VECTOR:
            self._vector[self._walk(i["d_base"], i["d_token"], i["d_outer"], 1, tokens, outer, inner)] = result
            return
        token = np.arange(tokens)[:, None, None]
        if space in (Space.QUERIES, Space.QUERY_SCALE):
            values = to_integer(floats(result), 16).astype(np.int16)
            block = 1 << i["block"]
            column = token % block * outer + np.arange(outer)[:, None]
            word = i["d_base"] + token // block * i["d_token"] + np.arange(inner)
            if space == Space.QUERY_SCALE:
                position = self._chunk.position + token
                values[..., 1] = (position & POSITION_LOW).astype(np.uint16).view(np.int16)
                values[..., 2] = position >> 16
            self._queries[column, word] = values
            return
        word = self._walk(i["d_base"], 0, i["d_outer"], 1, tokens, outer, inner)
        if space == Space.ACTIVATIONS:
            self._activations[token, word] = to_integer(floats(result), 8).astype(np.int8)
        else:
            row = (self._chunk.position + token) % self._attention.rows
            self._staging[row, word] = to_integer(floats(result), self._core.cache_bits).astype(np.int8)

    def _attend(self, i: Instruction) -> None:
        chunk, group = self._chunk, i["group"]
        tokens = min(i["count"], chunk.tokens - i["first"])
        count, lanes, size = tokens * group, self._core.lanes, i["query_head"]
        words = self._queries[:count].reshape(count, -1)[:, i["queries"] :].astype(np.int64)
        positions = (words[:, size + 1] & POSITION_LOW) + (words[:, size + 2] << 16)
        keys = chunk.position + i["first"] + tokens
        state = attend(
            attention_format(self._attention),
            self._attention.rows,
            words[:, :size],
            words[:, size],
            positions,
            self._cached(i["keys"], size, keys),
            self._cached(i["values"], i["value_head"], keys),
            Mask(keys=keys, causal=True),
        )
        outputs = state.outputs().T.astype(np.float32).reshape(tokens, group, -1, lanes)
        base = i["d_base"] + i["first"] * i["d_token"]
        rows = self._walk(base, i["d_token"], i["d_outer"], 1, tokens, group, outputs.shape[2])
        self._vector[rows] = bits(outputs)

    def _cached(self, beat: int, elements: int, keys: int) -> npt.NDArray[np.int64]:
        """Keys or values [keys, elements] from their tiles: for each element, that of all rows."""
        rows, width = self._attention.rows, self._core.cache_bits
        tiles = -(-keys // rows)
        raw = self._bytes(beat * self._beat, tiles * elements * rows * width // 8)
        by_row = np.ascontiguousarray(raw.reshape(tiles, -1, rows).swapaxes(1, 2)).reshape(tiles * rows, -1)[:keys]
        return (by_row.view(np.int8) if width == 8 else nibbles(by_row)).astype(np.int64)

    def _load(self, i: Instruction) -> None:
        size = i["words"] * self._core.lanes * 4
        match i["rows"]:
            case Rows.ONE:
                rows = np.zeros(1, np.int64)
            case Rows.POSITIONS:
                rows = self._chunk.position + np.arange(self._chunk.tokens)
            case Rows.TOKENS:
                rows = self._ids[: self._chunk.tokens]
            case other:
                raise ExecutionError(self._index, f"there are no rows of kind {other}")
        for n, row in enumerate(rows):
            data = self._bytes((i["offset"] + int(row) * i["stride"]) * self._beat, size)
            start = i["d_base"] + n * i["d_token"]
            self._vector[self._walk(start, 0, 0, 1, 1, 1, i["words"])[0, 0]] = data.view("<u4").reshape(
                -1, self._core.lanes
            )

    def _load_ids(self, i: Instruction) -> None:
        for n in range(self._chunk.tokens):
            beat = i["offset"] + self._chunk.position + n
            self._ids[n] = self._bytes(beat * self._beat, ID_BITS // 8).view("<u4")[0]

    def _store(self, i: Instruction) -> None:
        for n in range(self._chunk.tokens):
            words = self._vector[self._walk(i["a_base"] + n * i["a_token"], 0, 0, 1, 1, 1, i["words"])[0, 0]]
            raw = words.astype("<u4").tobytes()
            self._bytes((i["offset"] + n * i["stride"]) * self._beat, len(raw))[:] = np.frombuffer(raw, np.uint8)

    def _store_kv(self, i: Instruction) -> None:
        rows, elements, width = self._attention.rows, i["elements"], self._core.cache_bits
        tile_bytes = elements * rows * width // 8
        for n in range(self._chunk.tokens):
            tile, row = divmod(self._chunk.position + n, rows)
            codes = self._staging[row, i["base"] :].ravel()[:elements]
            raw = self._bytes(i["offset"] * self._beat + tile * tile_bytes, tile_bytes)
            raw.reshape(-1, rows)[:, row] = codes.view(np.uint8) if width == 8 else nibble_pairs(codes)

    def _walk(self, base: int, token: int, outer: int, inner: int, tokens: int, outers: int, inners: int) -> Indices:
        """Addresses [tokens, outers, inners]."""
        key = (base, token, outer, inner, tokens, outers, inners)
        if key not in self._walks:
            t, o, i = np.ogrid[:tokens, :outers, :inners]
            walk = base + t * token + o * outer + i * inner
            if walk.size and walk.max() >= self._core.vector_words:
                raise ExecutionError(self._index, f"reaches word {walk.max()} of {self._core.vector_words}")
            self._walks[key] = walk
        return self._walks[key]


_decoded: dict[bytes, Instruction] = {}
"""Decoding is a pure function, and programs are executed again for every token."""


def nibble_pairs(codes: npt.NDArray[np.int8]) -> Bytes:
    """Bytes of two 4-bit codes each, the even one lowest."""
    low = codes.view(np.uint8) & np.uint8(0xF)
    return low[::2] | low[1::2] << np.uint8(4)


def nibbles(raw: Bytes) -> npt.NDArray[np.int8]:
    """Signed 4-bit codes on the last axis, two to a byte, the lower first."""
    pairs = np.stack([raw & 0xF, raw >> 4], axis=-1).reshape(*raw.shape[:-1], -1)
    return ((pairs ^ 8).astype(np.int8) - 8).astype(np.int8)
