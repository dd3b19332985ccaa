"""The golden executor behind the calls of a driver."""

import numpy as np
import numpy.typing as npt

from einloom.sim.golden.executor import ExecutionError, GoldenCore
from einloom.spec.driver import SYSTEM, JobResult
from einloom.spec.isa import CoreError
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program

Bytes = npt.NDArray[np.uint8]


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

    def run(self, position: int, length: int) -> JobResult:
        """Run the program for `length` tokens from `position` on."""
        try:
            self._core.run(self._program.symbols.program, len(self._program.instructions), position, length)
        except ExecutionError as error:
            return JobResult(error.code, error.index, {})
        return JobResult(CoreError.NONE, 0, {})

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
        return self._core.system if number == SYSTEM else self._core.weights[number - 1]
