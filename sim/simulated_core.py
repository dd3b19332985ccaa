"""A core in simulation, with its memories: what a driver of the real card would offer."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from einloom.generators.design import Design
from einloom.sim.bench.core import Top, build_core, memory_beats, upset_memories, waves_file
from einloom.sim.server import BenchServer
from einloom.spec.core_registers import counter_names
from einloom.spec.driver import Bytes, JobResult
from einloom.spec.errors import CheckFailed
from einloom.spec.isa import CoreError
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program
from einloom.spec.registers import WORD_BITS, WORD_BYTES

CORE_MODULE = "einloom.sim.bench.cocotb_core"
WATCHDOG = 1 << 16
"""Cycles without progress: many times the longest silence of a healthy job, which is a tile of the GEMM engine."""

LIMIT = 1 << 31
SPARE_BEATS = 64
"""Beats of each memory behind its image: room for a report, and for windows of whole pages."""
PORTS = (
    *("writes", "reads_from", "reads", "memory", "file_offset", "file_bytes", "abort_at", "reset_at", "tracing"),
    *("upset_at", "upset_memory", "upset_word", "upset_bit"),
)
EACH_WORD = (1 << 16) - 1
MOST_READS = 255
"""Words of registers that an operation can read."""
UNUSED = dict.fromkeys(PORTS, 0)
"""Ports of core_bench.sv that an operation does not use."""


class Operation(IntEnum):
    """Operations of core_bench.sv."""

    ACCESS = 0
    LOAD = 1
    DUMP = 2
    RUN = 3
    RESET = 4


@dataclass(frozen=True)
class Upset:
    """A bit of a word that a memory on the chip, one of `upset_memories`, loses in a cycle of a job.

    With EACH_WORD it is a bit of each word, in all cycles from then on.
    """

    cycle: int
    memory: str
    word: int
    bit: int

    def ports(self, memories: Sequence[str]) -> dict[str, int]:
        """The bench's ports; `memories` are those of the design, in its manifest's order."""
        return {
            "upset_at": self.cycle,
            "upset_memory": memories.index(self.memory),
            "upset_word": self.word,
            "upset_bit": self.bit,
        }


@dataclass(frozen=True)
class Waves:
    """Waves of the cycles from `first` to `last`, counted over all jobs, in the file `path`.

    Its suffix must be `waves_suffix()`.
    """

    first: int
    last: int
    path: Path

    def ports(self) -> dict[str, int]:
        """The bench's ports."""
        return {"waves_from": self.first, "waves_to": self.last}


class SimulatedCore:
    """A simulation of a core with a program in its memories; a context manager.

    Attributes
    ----------
    timing : behaviour of the memories, from the next job on.
    cycles : cycles simulated in jobs so far.
    last_job : the first cycle of the last job, and the one after it, counted over all jobs.
    mutant : the fault that is active, in a design that has some (benchmarks/mutate.py); 0 for none.
    signature : of all ports since the last reset, in such a design.
    sizes : bytes of each memory's window.
    memory_sizes : bytes of each memory.
    """

    def __init__(
        self,
        design: Design,
        program: Program,
        *,
        top: Top | None = None,
        timing: MemoryTiming | None = None,
        base: int = 0,
        watchdog: int = WATCHDOG,
        limit: int = LIMIT,
        waves: Waves | None = None,
        upsets: bool = False,
        prepared: bool = True,
    ) -> None:
        """Build and start the simulation.

        `top` is the module around the core, if any. `waves` are left in their file when the simulation is closed.
        `base` is the byte of each memory at which its window begins. A job of more cycles than `limit` counts as
        hanging. With `upsets`, memories on the chip can lose bits. Without `prepared`, memories are empty and registers
        0.
        """
        manifest = design.manifest
        self._memories = list(upset_memories(manifest))
        self.timing = timing or MemoryTiming()
        self.program = program
        self.cycles = 0
        self.last_job = (0, 0)
        self.mutant = 0
        self.signature = 0
        self._base = base
        self._watchdog = watchdog
        self._core_ports = manifest.core.ports
        beat = manifest.gemm.weights.beat_bits // 8
        self._registers = {r.name: r for r in manifest.core.registers}
        self._written: dict[int, int] = {}  # words of registers, by their addresses
        self._ports: dict[str, int] = {}  # values of the bench's ports now
        self.sizes = [image.size for image in program.images]
        beats = [memory_beats((base + size) // beat + SPARE_BEATS) for size in self.sizes]
        self.memory_sizes = [n * beat for n in beats]
        executable = build_core(design, beats, top=top, waves=waves is not None, upsets=upsets)
        self._server = BenchServer(executable, CORE_MODULE, kept={} if waves is None else {waves_file(): waves.path})
        self._constant_ports = {"limit": limit} | (waves.ports() if waves else {})
        if prepared:
            self.prepare()

    def prepare(self) -> None:
        """Load all memories and set the registers that no job changes."""
        for n, image in enumerate(self.program.images):
            self.load(n, 0, image)
        self.configure()

    def configure(self, program: Program | None = None) -> None:
        """Set the registers that no job changes, for `program` if it is another one than so far."""
        self.program = program or self.program
        values = {
            "program": self.program.symbols.program,
            "instructions": len(self.program.instructions),
            "watchdog": self._watchdog,
            "report": 0,
        }
        for port, size in zip(self._core_ports, self.sizes, strict=True):
            values |= {f"{port.name}_base": self._base, f"{port.name}_size": size}
        self.write(**values)

    def load(self, memory: int, offset: int, data: Bytes) -> None:
        """Write whole beats into the window of memory number `memory` from byte `offset` on."""
        self.load_memory(memory, self._base + offset, data)

    def dump(self, memory: int, offset: int, size: int) -> Bytes:
        """Read whole beats of the window of memory number `memory`."""
        return self.dump_memory(memory, self._base + offset, size)

    def load_memory(self, memory: int, offset: int, data: Bytes) -> None:
        """Write whole beats into memory number `memory` from byte `offset` on, in its window or outside."""
        (self._server.folder / f"memory_{memory}.bin").write_bytes(data.tobytes())
        self._do(Operation.LOAD, memory=memory, file_offset=offset, file_bytes=data.size)

    def dump_memory(self, memory: int, offset: int, size: int) -> Bytes:
        """Read whole beats of memory number `memory`, in its window or outside."""
        self._do(Operation.DUMP, memory=memory, file_offset=offset, file_bytes=size)
        return np.fromfile(self._server.folder / f"memory_{memory}.dump", np.uint8)

    def write(self, **values: int) -> None:
        """Write registers of the table, those that have another value."""
        count = self._prepare_writes(values)
        if count:
            self._do(Operation.ACCESS, writes=count)

    def read(self, register: str) -> int:
        """Read a register of the table."""
        found = self._registers[register]
        self._do(Operation.ACCESS, reads_from=found.offset, reads=found.words)
        return self._value(self._read_words(), found.offset, register)

    def run(self, row: int, length: int, *, abort_at: int = 0, upset: Upset | None = None) -> JobResult:
        """Run a job of `length` tokens of the table, from a row on, to its end, or abort it or lose a bit in a cycle.

        CheckFailed when it does not end, or breaks a rule of the bus.
        """
        writes = self._prepare_writes(_job(row, length))
        result = self.complete(writes, abort_at=abort_at, **(upset.ports(self._memories) if upset else {}))
        if abort_at:
            self._written.pop(self._registers["abort"].offset, None)
        return result

    def complete(self, writes: int = 0, **ports: int) -> JobResult:
        """Start the core with its registers as they are, after `writes` prepared ones, and wait for the job's end."""
        first = self._registers["error"].offset
        count = self._words_from(first)
        self._start(writes, reads_from=first, reads=min(count, MOST_READS), **ports)
        found = [self._read_words()]
        for done in range(MOST_READS, count, MOST_READS):
            reads = min(count - done, MOST_READS)
            self._do(Operation.ACCESS, reads_from=first + done * WORD_BYTES, reads=reads)
            found.append(self._read_words())
        words = np.concatenate(found)
        names = ("error", "error_index", *counter_names(self._core_ports))
        error, index, *counters = (self._value(words, first, name) for name in names)
        return JobResult(CoreError(error), index, dict(zip(names[2:], counters, strict=True)))

    def launch(self, words: Mapping[int, int]) -> None:
        """Write these words of 32 bits at their addresses on the control port, start the core, and wait for ap_done."""
        self._written.clear()
        self._start(self._hand_over(words))

    def reset_during(self, row: int, length: int, cycle: int) -> bool:
        """Run a job, and in `cycle` reset the core and what is on its way in the memories.

        Returns True when the job was still running then.
        """
        was_reset = self._start(self._prepare_writes({"abort": 0, "row": row, "length": length}), reset_at=cycle)
        if was_reset:
            self._written.clear()
            self.configure()
        return was_reset

    def _start(self, writes: int, **ports: int) -> bool:
        """Write registers, and run a job to its end; returns whether it was a reset."""
        cycles, was_reset, timed_out, escaped, violations = self._do(Operation.RUN, tracing=1, writes=writes, **ports)
        self.last_job = self.cycles, self.cycles + cycles
        self.cycles += cycles
        if timed_out:
            raise CheckFailed(f"a job did not end within {cycles} cycles")
        if escaped or violations:
            raise CheckFailed(f"{escaped} accesses outside the windows, {violations} broken rules of the bus")
        return bool(was_reset)

    def reset(self) -> None:
        """Reset the core and what is on its way in the memories; their contents stay."""
        self._do(Operation.RESET)
        self._written.clear()
        self.configure()

    def _prepare_writes(self, values: Mapping[str, int]) -> int:
        """Hand the words of registers that change to the bench; returns their number."""
        changed = {}
        for name, value in values.items():
            register = self._registers[name]
            for word in range(register.words):
                offset = register.offset + word * WORD_BYTES
                part = value >> word * WORD_BITS & (1 << WORD_BITS) - 1
                if self._written.get(offset) != part:
                    changed[offset] = part
        self._written |= changed
        return self._hand_over(changed)

    def _hand_over(self, words: Mapping[int, int]) -> int:
        """Hand words by their addresses to the bench, which is to write them; returns their number."""
        if words:
            lines = [f"{offset << WORD_BITS | word:x}\n" for offset, word in words.items()]
            (self._server.folder / "writes.hex").write_text("".join(lines))
        return len(words)

    def _words_from(self, first: int) -> int:
        """Number of words from the one at `first` to the end of the table."""
        last = max(self._registers.values(), key=lambda r: r.offset)
        return (last.offset - first) // WORD_BYTES + last.words

    def _read_words(self) -> npt.NDArray[np.uint32]:
        """Words that the last operation read."""
        return np.fromfile(self._server.folder / "registers.bin", "<u4")

    def _value(self, words: npt.NDArray[np.uint32], first: int, register: str) -> int:
        """A register's value, from words that begin with that at `first`."""
        found = self._registers[register]
        at = (found.offset - first) // WORD_BYTES
        return sum(int(word) << n * WORD_BITS for n, word in enumerate(words[at : at + found.words]))

    def trace(self) -> list[tuple[int, int, int, int]]:
        """Trace of the last job: unit, instruction, first and last cycle of everything that was completed."""
        lines = (self._server.folder / "trace.txt").read_text().split("\n")
        return [tuple(int(n) for n in line.split()) for line in lines if line]  # type: ignore[misc]

    def _do(self, operation: Operation, **ports: int) -> Sequence[int]:
        own = self._constant_ports | {"operation": int(operation), "mutant": self.mutant}
        settings = UNUSED | dataclasses.asdict(self.timing) | own | ports
        changed = {name: value for name, value in settings.items() if self._ports.get(name) != value}
        self._ports = settings
        *counters, self.signature = self._server.run(changed)
        return counters

    def __enter__(self) -> "SimulatedCore":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation."""
        self._server.close()


def _job(row: int, length: int) -> dict[str, int]:
    """The registers of a job."""
    return {"abort": 0, "row": row, "length": length}
