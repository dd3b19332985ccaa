"""A core in simulation, with its memories: what a driver of the real card would offer."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from einloom.core_registers import counter_names, window_names
from einloom.errors import CheckFailed, InputError
from einloom.isa import CoreError
from einloom.program import Program
from einloom.registers import WORD_BITS
from generators.design import Design
from sim.bench.core import build_core, memory_beats
from sim.driver import Bytes, JobResult
from sim.server import BenchServer

CORE_MODULE = "sim.bench.cocotb_core"
WATCHDOG = 1 << 16
"""Cycles without progress: many times the longest silence of a healthy job, which is a tile of the GEMM engine."""


class Operation(IntEnum):
    """What core_bench.sv can do."""

    WRITE = 0
    READ = 1
    LOAD = 2
    DUMP = 3
    RUN = 4
    RESET = 5


@dataclass(frozen=True)
class MemoryTiming:
    """How the memories behave; see axi_memory.sv. `error_memory` gives the errors, 0 is the system's."""

    latency: int = 64
    bandwidth: int = 0
    seed: int = 0
    stall: int = 0
    interleave: int = 0
    error_read: int = 0
    error_write: int = 0
    error_memory: int = 0
    abort_at: int = 0
    reset_at: int = 0


class SimulatedCore:
    """A simulation of a core with a program in its memories; a context manager.

    Attributes
    ----------
    cycles : simulated in jobs so far.
    """

    def __init__(
        self, design: Design, program: Program, *, timing: MemoryTiming | None = None, waves: bool = False
    ) -> None:
        manifest = design.manifest
        if manifest.core is None or manifest.gemm is None:
            raise InputError(f"{manifest.name} has no core")
        self.timing = timing or MemoryTiming()
        self.program = program
        self.cycles = 0
        self._channels = manifest.gemm.weights.channels
        self._beat = manifest.gemm.weights.beat_bits // 8
        self._registers = {r.name: r for r in manifest.core.registers}
        images = [program.system, *program.weights]
        self._sizes = [image.size for image in images]
        beats = [memory_beats(size // self._beat) for size in self._sizes]
        self._server = BenchServer(build_core(design, beats, waves=waves), CORE_MODULE, waves=waves)
        self._limit = 1 << 31
        self.prepare()

    def prepare(self) -> None:
        """Load all memories and set the registers that no job changes."""
        for n, image in enumerate([self.program.system, *self.program.weights]):
            self.load(n, 0, image)
        self.configure()

    def configure(self) -> None:
        """Set the registers that no job changes."""
        self.write("program", self.program.symbols.program)
        self.write("instructions", len(self.program.instructions))
        self.write("watchdog", WATCHDOG)
        for name, size in zip(window_names(self._channels), self._sizes, strict=True):
            self.write(f"{name}_base", 0)
            self.write(f"{name}_size", size)

    def load(self, memory: int, offset: int, data: Bytes) -> None:
        """Write whole beats into memory number `memory` from byte `offset` on."""
        (self._server.folder / f"memory_{memory}.bin").write_bytes(data.tobytes())
        self._do(Operation.LOAD, memory=memory, file_offset=offset, file_bytes=data.size)

    def dump(self, memory: int, offset: int, size: int) -> Bytes:
        """Read whole beats of memory number `memory`."""
        self._do(Operation.DUMP, memory=memory, file_offset=offset, file_bytes=size)
        return np.fromfile(self._server.folder / f"memory_{memory}.dump", np.uint8)

    def write(self, register: str, value: int) -> None:
        """Write a register of the table."""
        found = self._registers[register]
        for word in range(found.words):
            part = value >> word * WORD_BITS & (1 << WORD_BITS) - 1
            self._do(Operation.WRITE, address=found.offset + word * WORD_BITS // 8, data_in=part)

    def read(self, register: str) -> int:
        """Read a register of the table."""
        found = self._registers[register]
        value = 0
        for word in range(found.words):
            _, data, *_ = self._do(Operation.READ, address=found.offset + word * WORD_BITS // 8)
            value |= data << word * WORD_BITS
        return value

    def run(self, position: int, length: int) -> JobResult:
        """Run a job of `length` tokens from `position` on to its end; CheckFailed when it has none."""
        self.write("position", position)
        self.write("length", length)
        cycles, _, timed_out, escaped, violations = self._do(Operation.RUN, tracing=1)
        self.cycles += cycles
        if timed_out:
            raise CheckFailed(f"the job at position {position} did not end within {cycles} cycles")
        if escaped or violations:
            raise CheckFailed(f"{escaped} accesses outside the memories, {violations} broken rules of the bus")
        return JobResult(CoreError(self.read("error")), self.read("error_index"), self.counters())

    def counters(self) -> dict[str, int]:
        """Those of the last job."""
        return {name: self.read(name) for name in counter_names(self._channels)}

    def reset(self) -> None:
        """Reset the core and what is on its way in the memories; their contents stay."""
        self._do(Operation.RESET)
        self.configure()

    def trace(self) -> list[tuple[int, int, int, int]]:
        """Of the last job: unit, instruction, first and last cycle of everything that was completed."""
        lines = (self._server.folder / "trace.txt").read_text().split("\n")
        return [tuple(int(n) for n in line.split()) for line in lines if line]  # type: ignore[misc]

    def _do(self, operation: Operation, **ports: int) -> Sequence[int]:
        fixed = dict.fromkeys(("address", "data_in", "memory", "file_offset", "file_bytes", "tracing"), 0)
        settings = fixed | dataclasses.asdict(self.timing) | {"limit": self._limit, "operation": int(operation)}
        return self._server.run(settings | ports)

    def __enter__(self) -> "SimulatedCore":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation."""
        self._server.close()
