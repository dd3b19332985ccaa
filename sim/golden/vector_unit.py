"""The vector unit of the golden executor: its operands, and where its results go (spec/isa.py, Space)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from einloom.sim.golden.memories import Bits, Chunk, Indices, Memories, walk
from einloom.sim.golden.vector import Mad, Scratch, to_integer, unguarded_elementwise, unguarded_reduce
from einloom.spec.errors import InputError
from einloom.spec.instruction import Instruction
from einloom.spec.isa import FLOAT_OPS, REDUCTIONS, Operand, Space, VectorOp

Action = Callable[[Chunk], None]
Put = Callable[[Chunk, Bits], None]
"""Takes a result [tokens, outer, inner, lanes] to where it belongs."""
ACTIVATION_BITS = 8
QUERY_BITS = 16


class VectorUnit:
    """Computes on a core's memories.

    An instruction is prepared once for each number of tokens: operands become views of the vector memory. Carrying it
    out again then costs little more than its arithmetic.
    """

    def __init__(self, memories: Memories, cache_bits: int, exchanges: bool = False) -> None:
        self._memories, self._exchanges = memories, exchanges
        self._cache_bits = cache_bits
        self._scratch: dict[tuple[int, ...], Scratch] = {}

    def prepared(self, i: Instruction, tokens: int) -> Action:
        """Action of the instruction in chunks of `tokens`; IndexError when it reaches outside a memory."""
        op, negate, shape = VectorOp(i["op"]), bool(i["negate"]), (tokens, i["outer"], i["inner"])
        if op is VectorOp.EXCHANGE and not self._exchanges:
            raise InputError("vector: this core has no operation exchange")
        if 0 in shape:
            return lambda _: None
        a, x, y = self._operand(i, "a", shape), self._chosen(i, "x", "b", shape), self._chosen(i, "y", "c", shape)
        if op not in REDUCTIONS:
            put = self._destination(i, shape)
            if op is VectorOp.EXCHANGE and y is not None:
                lanes = np.arange(a.shape[3]) ^ (i["immediate"] % a.shape[3])
                return lambda chunk: put(chunk, unguarded_elementwise(VectorOp.MAD, a, x, y[..., lanes], negate=negate))
            if op in FLOAT_OPS:
                mad = Mad(a, x, y, negate=negate, scratch=self._scratch)
                return lambda chunk: put(chunk, mad())
            return lambda chunk: put(chunk, unguarded_elementwise(op, a, x, y, negate=negate))
        put = self._destination(i, (tokens, i["outer"], 1))
        one_word = (tokens, i["outer"], 1, a.shape[3])
        return lambda chunk: put(
            chunk, np.broadcast_to(unguarded_reduce(op, a, x, negate=negate)[..., None, None], one_word)
        )

    def _operand(self, i: Instruction, letter: str, shape: tuple[int, int, int]) -> Bits:
        """A view [tokens, outer, inner, lanes] of the vector memory."""
        memory = self._memories.vector
        strides = (i[f"{letter}_token"], i[f"{letter}_outer"], i[f"{letter}_inner"])
        walk(i[f"{letter}_base"], strides, shape, len(memory))
        word, lane = memory.strides
        start = memory[i[f"{letter}_base"] :]
        return as_strided(start, (*shape, memory.shape[1]), (*(word * s for s in strides), lane), writeable=False)

    def _chosen(self, i: Instruction, field: str, letter: str, shape: tuple[int, int, int]) -> Bits | None:
        if i[field] == Operand.IMMEDIATE:
            return np.full((1, 1, 1, 1), i["immediate"], np.uint32)
        return self._operand(i, letter, shape) if i[field] == Operand.VECTOR else None

    def _destination(self, i: Instruction, shape: tuple[int, int, int]) -> Put:
        tokens, outer, inner = shape
        token, memories = np.arange(tokens)[:, None, None], self._memories
        match i["space"]:
            case Space.VECTOR:
                words = walk(i["d_base"], (i["d_token"], i["d_outer"], 1), shape, len(memories.vector))
                return _into_words(memories.vector, words)
            case Space.ACTIVATIONS:
                words = walk(i["d_base"], (0, i["d_outer"], 1), shape, memories.activations.shape[1])
                return _into_integers(memories.activations, ACTIVATION_BITS, lambda _: token, words)
            case Space.KEY_VALUES:
                words = walk(i["d_base"], (0, i["d_outer"], 1), shape, memories.staging.shape[1])
                rows = len(memories.staging)
                return _into_integers(
                    memories.staging, self._cache_bits, lambda chunk: (chunk.position + token) % rows, words
                )
        block = 1 << i["block"]
        columns = token % block * outer + np.arange(outer)[:, None]
        words = i["d_base"] + token // block * i["d_token"] + np.arange(inner)
        for index, size in zip((columns, words), memories.queries.shape, strict=False):
            walk(int(index.max()), (0, 0, 0), (1, 1, 1), size)
        if i["space"] == Space.QUERIES:
            return _into_integers(memories.queries, QUERY_BITS, lambda _: columns, words)
        return _scales_into(memories.queries, columns, words)


def _into_words(memory: Bits, words: Indices) -> Put:
    def put(_: Chunk, result: Bits) -> None:
        memory[words] = result

    return put


def _into_integers(
    memory: npt.NDArray[np.int8] | npt.NDArray[np.int16],
    width: int,
    rows: Callable[[Chunk], Indices],
    words: Indices,
) -> Put:
    """Into a memory [rows, words, lanes] of integers of `width` bits."""

    def put(chunk: Chunk, result: Bits) -> None:
        memory[rows(chunk), words] = to_integer(result.view(np.float32), width)

    return put


def _scales_into(memory: npt.NDArray[np.int16], columns: Indices, words: Indices) -> Put:
    """Scales of queries, and behind them the positions of their tokens: low half, then high half."""

    def put(chunk: Chunk, result: Bits) -> None:
        values = to_integer(result.view(np.float32), QUERY_BITS)
        values[..., 1] = chunk.position + np.arange(chunk.tokens)[:, None, None]
        values[..., 2] = values[..., 1] >> QUERY_BITS
        memory[columns, words] = values.astype(np.int16)  # the low bits

    return put
