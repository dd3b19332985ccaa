"""A core's job as events: the sequencer, the units and their ports, on the program that the core runs."""

from collections.abc import Callable, Sequence

from einloom.mapping.cost.attends import Attends
from einloom.mapping.cost.attention_lane import AttentionLane
from einloom.mapping.cost.events import Events, Process, Steps
from einloom.mapping.cost.executed import Executed
from einloom.mapping.cost.gemm_products import Products
from einloom.mapping.cost.latencies import GEARBOX_LATENCY
from einloom.mapping.cost.loads import Loads
from einloom.mapping.cost.memory_port import MemoryPort, Reader
from einloom.mapping.cost.row_writer import RowWriter
from einloom.mapping.cost.sequencer import Fetch, Progress, Sequencer
from einloom.mapping.cost.unit_queues import Permits, Presented, UnitQueue
from einloom.mapping.cost.unlimited import NOTHING, Unlimited
from einloom.mapping.cost.vector_slots import VectorSlots
from einloom.mapping.cost.write_port import WritePort
from einloom.spec.errors import CheckFailed
from einloom.spec.instruction import Instruction
from einloom.spec.isa import UNITS, Unit
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import MemoryTiming


class CoreSimulation:
    """One job of a core.

    Of the weight channels, which all do the same, one is simulated, and one attention lane.

    Attributes
    ----------
    weights, cache : readers of a weight channel, and of the cache, with the beats that they brought.
    """

    def __init__(
        self,
        manifest: Manifest,
        instructions: Sequence[Instruction],
        timing: MemoryTiming,
        unlimited: Unlimited = NOTHING,
    ) -> None:
        core, self._rows = manifest.core, manifest.core.gemm.rows
        timing = unlimited.timing(timing)
        events = self._events = Events()
        self._inside = inside = core.cache_in_channels
        beat = core.beat_bytes
        system, channel = (MemoryPort(timing, n, at_once=unlimited.bandwidth) for n in range(2))
        behind = channel if inside else system  # the cache
        products = Products(core, manifest.config.core_section.fifo_beats, events, unlimited.array)
        program, tables = (Reader(events, system, beat, shared=True) for _ in range(2))
        self.weights = Reader(events, channel, beat, shared=inside, holds=products.holds, crossing=0)
        self.cache = Reader(events, behind, beat, shared=True, holds=GEARBOX_LATENCY + 2)
        self._progress, self._program, self._beat_bytes = Progress(events), program, beat
        permits = Permits(events)
        queues: dict[Unit, UnitQueue] = {unit: UnitQueue(events, unit, permits) for unit in UNITS}
        self._queues = queues
        port = WritePort()
        self._vector = VectorSlots(core.lanes, port, free=unlimited.vector)
        products.connect(self.weights, port)
        lane = AttentionLane(events, self.cache, core.attention, core.cache, core.lanes, free=unlimited.attention)
        self.sequencer = Sequencer(instructions, Fetch(program, len(instructions), beat), queues, self._progress)
        carriers: dict[Unit, Callable[[Presented], Steps]] = {
            Unit.WEIGHTS: products.request,
            Unit.GEMM: products.carry_out,
            Unit.LOAD: Loads(core, tables, port).carry_out,
            Unit.STORE: RowWriter(core, system, behind, timing).carry_out,
        }
        for unit, carry_out in carriers.items():
            events.start(self._unit(unit, carry_out))
        events.start(self._vector_unit())
        attends = Attends(core, queues[Unit.ATTENTION], lane, self._progress)
        events.start(attends.take())
        events.start(attends.complete())

    @property
    def executed(self) -> list[Executed]:
        """All instructions of the units, in the order in which each unit ended them."""
        return self._progress.executed

    @property
    def last(self) -> Executed | None:
        """The instruction that ended last."""
        return self._progress.last

    @property
    def channel_beats(self) -> int:
        """Beats of weights, and of keys and values where these lie beside them, that a weight channel brought."""
        readers = [self.weights, *([self.cache] if self._inside else [])]
        return sum(reader.bursts[-1][0] for reader in readers if reader.bursts)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all instructions."""
        return sum(executed.macs for executed in self.executed)

    @property
    def bytes(self) -> int:
        """Bytes of memory that were read and written behind all ports, the program's own included."""
        fetched = self._program.bursts[-1][0] if self._program.bursts else 0
        return fetched * self._beat_bytes + sum(executed.bytes for executed in self.executed)

    def run(self, position: int, length: int, *, goes_on: bool = False) -> int:
        """Cycles of a job of `length` tokens from `position` on.

        With `goes_on` it is the first `length` tokens of a longer job; the cycles are those up to the next chunk.
        CheckFailed when the program doesn't end.
        """
        self._events.start(self.sequencer.run(position, length, self._rows, goes_on=goes_on))
        self._events.run()
        if self.sequencer.cycles is None:
            raise CheckFailed(f"the program does not end: {self.sequencer.stuck()} waits forever")
        return self.sequencer.cycles

    def _unit(self, unit: Unit, carry_out: Callable[[Presented], Steps]) -> Process:
        """A unit that takes an instruction when the one before is complete."""
        queue = self._queues[unit]
        while True:
            yield from queue.next()
            p = queue.presented
            end = p.starts
            if p.chunk.carries_out(p.instruction):
                end = yield from carry_out(p)
            queue.taken(end)
            queue.end(p, end)
            self._progress.end(p.record)

    def _vector_unit(self) -> Process:
        """The vector unit, which takes an instruction when the one before has its last slot."""
        queue, idle = self._queues[Unit.VECTOR], 0
        while True:
            yield from queue.next()
            p = queue.presented
            taken = done = max(p.starts, idle)
            if p.chunk.carries_out(p.instruction):
                yield p.starts  # sums that come by then are known
                issued = self._vector.issued
                taken, done = self._vector.run(p.instruction.values, p.chunk.tokens, p.starts)
                p.record.work = self._vector.issued - issued
                idle = max(idle, done + 1)
            queue.taken(taken)
            queue.end(p, done)
            self._progress.end(p.record)
