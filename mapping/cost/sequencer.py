"""When the sequencer hands out a program's instructions."""

from collections.abc import Sequence

from einloom.mapping.cost.events import Events, Process, Signal
from einloom.mapping.cost.executed import Behind, Executed
from einloom.mapping.cost.latencies import DISPATCH, FETCH_BLOCK, FIRST_FETCH, IDLE_LATENCY
from einloom.mapping.cost.memory_port import Reader
from einloom.mapping.cost.unit_queues import Chunk, UnitQueue
from einloom.spec.errors import CheckFailed
from einloom.spec.instruction import Instruction
from einloom.spec.isa import INSTRUCTION_BITS, UNITS, Unit


class Progress:
    """Instructions that units have been given and have ended.

    Attributes
    ----------
    executed : those that have ended, in the order in which each unit ends them.
    last : the one that ended last.
    """

    def __init__(self, events: Events) -> None:
        self.executed: list[Executed] = []
        self.last: Executed | None = None
        self._given = 0
        self.ended = Signal(events)

    def give(self) -> None:
        self._given += 1

    def end(self, executed: Executed) -> None:
        self.executed.append(executed)
        if self.last is None or executed.ends >= self.last.ends:
            self.last = executed
        self.ended.raise_now()

    @property
    def idle(self) -> bool:
        """All have ended."""
        return self._given == len(self.executed)


class Fetch:
    """The program's beats: the cycle from which on each instruction can be taken.

    Blocks of instructions are asked for while no more than one is due (hw/core/sequencer.py).
    """

    def __init__(self, reader: Reader, number: int, beat_bytes: int) -> None:
        self._reader = reader
        self._per_beat = 8 * beat_bytes // INSTRUCTION_BITS
        self._block, self._total = FETCH_BLOCK // self._per_beat, -(-number // self._per_beat)
        self._base = self._asked = self._come = self._burst = 0

    def restart(self, cycle: int) -> None:
        """Begin with the first instruction; the first request is made in `cycle`."""
        bursts = self._reader.bursts
        self._base, self._burst = bursts[-1][0] if bursts else 0, len(bursts)
        self._asked = self._come = 0
        self._ask(cycle)
        self._ask(cycle + 1)

    def _ask(self, cycle: int) -> None:
        if self._asked < self._total:
            beats = min(self._block, self._total - self._asked)
            self._reader.request(cycle, self._asked, beats)
            self._asked += beats

    def next(self, index: int, free: int) -> Process:
        """Wait for the beat of instruction `index`; `there` is the cycle from which on it can be taken.

        The one before is taken by the cycle before `free`.
        """
        if index // self._per_beat < self._come:
            return
        bursts = self._reader.bursts
        while self._burst >= len(bursts) or bursts[self._burst][0] - self._base <= self._come:
            if self._burst < len(bursts):
                self._burst += 1
            else:
                yield self._reader.arrived
        end, _, last = bursts[self._burst]
        arrives = last - (end - self._base - self._come - 1)
        self.there = max(arrives, free - 1) + 1
        self._come += 1
        if self._come >= self._asked - self._block:
            self._ask(self.there)

    there = 0

    def drained(self) -> Process:
        """Wait until all that was asked for has come; `there` is then the cycle of the last beat."""
        while self._reader.bursts[-1][0] - self._base < self._asked:
            yield self._reader.arrived
        self.there = self._reader.bursts[-1][2]


class Sequencer:
    """Hands each instruction to the queue of its unit, chunk after chunk.

    Attributes
    ----------
    cycles : of the job, once it has ended.
    """

    def __init__(
        self, instructions: Sequence[Instruction], fetch: Fetch, queues: dict[Unit, UnitQueue], progress: Progress
    ) -> None:
        self._instructions, self._fetch = instructions, fetch
        self._queues, self._progress = queues, progress
        self.cycles: int | None = None
        self._behind: Behind | None = None

    def run(self, position: int, length: int, rows: int, *, goes_on: bool = False) -> Process:
        """A job of `length` tokens from `position` on, in chunks of `rows`.

        With `goes_on` it is the first `length` tokens of a longer one; its cycles are then those up to the next chunk.
        """
        start = 0
        for first in range(0, length, rows):
            chunk = Chunk(position + first, min(rows, length - first), first + rows >= length and not goes_on)
            self._fetch.restart(start + FIRST_FETCH)
            self._passed = 0
            yield from self._walk(chunk, start + FIRST_FETCH)
            if self.cycles is not None:
                return
            yield from self._fetch.drained()
            start = max(self._passed, self._fetch.there)
        if not goes_on:
            raise CheckFailed("the program has no end")
        self.cycles = start

    def _walk(self, chunk: Chunk, run: int) -> Process:
        """Hand out instructions from `run` on, up to the end, or to the next chunk behind the barrier `_passed`."""
        for index, instruction in enumerate(self._instructions):
            yield from self._fetch.next(index, run)
            decoded = max(run, self._fetch.there) + 1
            unit = instruction.opcode.unit
            if unit is not Unit.CONTROL:
                queue = self._queues[unit]
                while (accepted := queue.has_room(decoded)) is None:
                    yield queue.room
                self._progress.give()
                if accepted > decoded:
                    self._behind = Behind(queue.made_room(), complete=False)
                queue.put(accepted, index, instruction, chunk, self._behind)
                run = accepted + DISPATCH - 1
                continue
            while not self._progress.idle:
                yield self._progress.ended
            last = self._progress.last
            self._behind = None if last is None else Behind(last, complete=True)
            self._passed = max(decoded + 1, last.ends + IDLE_LATENCY if last else 0)
            yield self._passed
            if instruction.opcode.name == "end":
                self.cycles = self._passed  # those of the supervisor behind it do not count
                return
            if not chunk.last:
                return
            run = self._passed + 1

    def stuck(self) -> str:
        """The units that have instructions left."""
        waiting = [unit.name.lower() for unit in UNITS if not self._queues[unit].empty]
        return ", ".join(waiting) or "a unit"
