"""The golden executor behind the calls of a driver."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from einloom.sim.golden.executor import ExecutionError, GoldenCore
from einloom.sim.golden.memories import Chunk
from einloom.spec.driver import SYSTEM, JobResult
from einloom.spec.isa import CoreError
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class GoldenDriver:
    """A GoldenCore with a program and its image in memory."""

    def __init__(self, manifest: Manifest, program: Program) -> None:
        self._program = program
        self._core = GoldenCore(manifest, program.system.copy(), tuple(w.copy() for w in program.weights))

    def load(self, memory: int, offset: int, data: Bytes) -> None:
        """Write bytes into a memory."""
        self._memory(memory)[offset : offset + data.size] = data
        if memory != SYSTEM:
            self._core.forget_weights()

    def dump(self, memory: int, offset: int, size: int) -> Bytes:
        """Read bytes of a memory."""
        return self._memory(memory)[offset : offset + size].copy()

    def run(self, row: int, length: int) -> JobResult:
        """Run the program for `length` tokens from a row of the table of tokens on."""
        try:
            self._core.run(self._program.symbols.program, len(self._program.instructions), row, length)
        except ExecutionError as error:
            return JobResult(error.code, error.index, {})
        return JobResult(CoreError.NONE, 0, {})

    def watch_layers(self, names: Sequence[str], hidden: int, told: Callable[[int, Floats], None]) -> None:
        """Call `told` behind each of the layers `names`, with its number and the residual stream, float32 [tokens,
        hidden], of the chunk at work."""
        symbols, vector = self._program.symbols, self._core.memories.vector

        def probe(layer: int, chunk: Chunk) -> None:
            starts = symbols.residual + symbols.residual_stride * np.arange(chunk.tokens)
            words = starts[:, None] + np.arange(-(-hidden // vector.shape[1]))
            told(layer, vector[words].view(np.float32).reshape(chunk.tokens, -1)[:, :hidden])

        ends = self._program.layer_ends(names)
        self._core.probes = {end: partial(probe, layer) for layer, end in enumerate(ends)}

    @property
    def cache_codes(self) -> tuple[int, int]:
        """How many of the cache's codes were at their limit so far, and how many were stored."""
        return self._core.limit_codes, self._core.stored_codes

    @property
    def saturated(self) -> float:
        """Share of the cache's codes so far, 0 to 1, that were at their limit; 0 before the first."""
        at_limit, stored = self.cache_codes
        return at_limit / max(stored, 1)

    def _memory(self, number: int) -> Bytes:
        return (self._core.system, *self._core.weights)[number]
