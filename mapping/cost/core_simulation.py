"""A core's job as events: the sequencer, the units and their ports, on the program that the core runs."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from einloom.mapping.cost.attention_lane import AttentionLane, AttentionWork
from einloom.mapping.cost.events import Events, Process, Signal, Steps
from einloom.mapping.cost.gemm_products import WeightPath, product
from einloom.mapping.cost.latencies import (
    ATTEND_BLOCKS,
    ATTEND_START,
    DISPATCH,
    FETCH_BLOCK,
    FIRST_FETCH,
    GEARBOX_LATENCY,
    IDLE_LATENCY,
    JOB_END,
    LANES_LATENCY,
    LOAD_END,
    LOAD_REQUEST,
    LOAD_START,
)
from einloom.mapping.cost.memory_port import MemoryPort, Reader
from einloom.mapping.cost.row_writer import RowWriter
from einloom.mapping.cost.tile_requests import tile_requests
from einloom.mapping.cost.unit_queues import Chunk, Permits, Presented, UnitQueue
from einloom.mapping.cost.vector_slots import VectorSlots
from einloom.mapping.cost.write_port import SumsComing, WritePort
from einloom.spec.errors import CheckFailed
from einloom.spec.instruction import Instruction
from einloom.spec.isa import INSTRUCTION_BITS, UNITS, Elements, Rows, Unit
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import MemoryTiming


@dataclass(frozen=True)
class Executed:
    """An instruction that was carried out, or skipped.

    Attributes
    ----------
    waits, starts, taken, ends : the cycles in which it reaches its unit, has its permits, makes room for the next one,
        and is complete.
    """

    unit: Unit
    index: int
    waits: int
    starts: int
    taken: int
    ends: int


ROUNDING = 1e-6  # of cycles that are summed up


class CoreSimulation:
    """One job of a core.

    Attributes
    ----------
    executed : all instructions of the units, in the order in which each unit ends them.
    cycles : of the job, once it has run.
    """

    def __init__(self, manifest: Manifest, instructions: Sequence[Instruction], timing: MemoryTiming) -> None:
        core, config = manifest.core, manifest.config
        self.core, self._instructions, self._timing = core, instructions, timing
        self.events = events = Events()
        beat = core.beat_bytes
        self.executed: list[Executed] = []
        self.cycles: int | None = None
        system, channel = MemoryPort(timing, 0), MemoryPort(timing, 1)
        inside = core.cache_in_channels
        self._program = Reader(events, system, beat, shared=True)
        self._tables = Reader(events, system, beat, shared=True)
        self._path = WeightPath.of(core, config.core_section.fifo_beats)
        self.weights = Reader(events, channel, beat, shared=inside, holds=self._path.holds)
        cache = Reader(events, channel if inside else system, beat, shared=True, holds=GEARBOX_LATENCY + 2)
        lanes = core.attention_lanes if inside else 1
        self.lane = AttentionLane(events, cache, core.attention, core.cache, core.lanes, lanes)
        self._writer = RowWriter(core, system, channel if inside else system, timing)
        self.permits = Permits(events)
        self.queues: dict[Unit, UnitQueue] = {unit: UnitQueue(events, unit, self.permits) for unit in UNITS}
        self.port = WritePort()
        self.slots = VectorSlots(core.lanes, self.port)
        self._asked = Signal(events)
        self._products: deque[int] = deque()  # beats of requests that no product has taken
        self._put: dict[Unit, int] = dict.fromkeys(UNITS, 0)
        self._ended: dict[Unit, int] = dict.fromkeys(UNITS, 0)
        self._last: dict[Unit, int] = dict.fromkeys(UNITS, 0)
        self._idle = Signal(events)
        self._taken_beats = 0
        self.starved = 0
        carriers: dict[Unit, Callable[[Presented], Steps]] = {
            Unit.WEIGHTS: self._weights,
            Unit.GEMM: self._gemm,
            Unit.LOAD: self._load,
            Unit.STORE: self._store,
        }
        for unit, carrier in carriers.items():
            events.start(self._unit(unit, carrier))
        events.start(self._vector())
        self._attends: list[tuple[Presented, int, AttentionWork | None]] = []
        self._attended: list[int] = []  # cycles of their ends
        events.start(self._attend())
        events.start(self._attended_in_order())

    def run(self, position: int, length: int) -> int:
        """Run a job of `length` tokens from `position` on; its cycles.

        CheckFailed when the program doesn't end.
        """
        self.events.start(self._sequencer(position, length))
        self.events.run()
        if self.cycles is None:
            stuck = [unit.name.lower() for unit in UNITS if self._ended[unit] < self._put[unit]]
            raise CheckFailed(f"the program does not end: {', '.join(stuck) or 'the sequencer'} waits forever")
        return self.cycles

    # The sequencer

    def _sequencer(self, position: int, length: int) -> Process:
        rows, left, start = self.core.gemm.rows, length, 0
        index, number = 0, len(self._instructions)
        while True:
            chunk = Chunk(position, min(left, rows), left <= rows)
            per_beat = self.core.beat_bytes * 8 // INSTRUCTION_BITS
            block, total = FETCH_BLOCK // per_beat, -(-number // per_beat)
            base = self._program.bursts[-1][0] if self._program.bursts else 0
            asked, come, burst = 0, 0, len(self._program.bursts)
            run, word = start + FIRST_FETCH, 0
            for n in range(2):
                if asked < total:
                    self._program.request(start + FIRST_FETCH + n, asked, min(block, total - asked))
                    asked = min(asked + block, total)
            index, jump = 0, False
            while index < number:
                if index // per_beat >= come:
                    while burst >= len(self._program.bursts) or self._program.bursts[burst][0] - base <= come:
                        if burst < len(self._program.bursts) and self._program.bursts[burst][0] - base <= come:
                            burst += 1
                        else:
                            yield self._program.arrived
                    end, first, last = self._program.bursts[burst]
                    there = last - (end - base - come - 1)
                    word = max(there, run - 1) + 1
                    come += 1
                    if asked < total and come >= asked - block:
                        self._program.request(word, asked, min(block, total - asked))
                        asked = min(asked + block, total)
                run = max(run, word)
                decoded = run + 1
                instruction = self._instructions[index]
                if instruction.opcode.unit is Unit.CONTROL:
                    while not all(self._ended[u] == self._put[u] for u in UNITS):
                        yield self._idle
                    passed = max(decoded + 1, max(self._last.values()) + IDLE_LATENCY)
                    yield passed
                    if instruction.opcode.name == "end":
                        self.cycles = passed + JOB_END
                        return
                    if not chunk.last:
                        jump, start = True, passed
                        break
                    run = passed + 1
                else:
                    queue = self.queues[instruction.opcode.unit]
                    while (accepted := queue.has_room(decoded)) is None:
                        yield queue.room
                    self._put[instruction.opcode.unit] += 1
                    queue.put(accepted, index, instruction, chunk)
                    run = accepted + DISPATCH - 1
                index += 1
            if not jump:
                raise CheckFailed("the program has no end")
            while self._program.bursts[-1][0] - base < asked:
                yield self._program.arrived
            start = max(start, self._program.bursts[-1][2])
            position, left = position + rows, left - rows

    # Units

    def _record(self, p: Presented, unit: Unit, taken: int, ends: int) -> None:
        self.executed.append(Executed(unit, p.index, p.waits, p.starts, taken, ends))
        self._ended[unit] += 1
        self._last[unit] = max(self._last[unit], ends)
        self._idle.raise_now()

    def _unit(self, unit: Unit, carry_out: Callable[[Presented], Steps]) -> Process:
        """A unit that takes an instruction when the one before is complete."""
        queue = self.queues[unit]
        while True:
            yield from queue.next()
            p = queue.presented
            if p.chunk.carries_out(p.instruction):
                end = yield from carry_out(p)
            else:
                end = p.starts
            queue.taken(end)
            queue.give(p.instruction, end)
            self._record(p, unit, end, end)

    def _weights(self, p: Presented) -> Steps:
        beats = p.instruction["beats"]
        if not beats:
            return p.starts
        while (accepted := self.weights.ready(p.starts)) is None:
            yield self.weights.accepted
        self.weights.request(accepted, p.instruction["offset"], beats)
        self._products.append(beats)
        self._asked.raise_now()
        return accepted

    def _gemm(self, p: Presented) -> Steps:
        i, tokens = p.instruction.values, p.chunk.tokens
        if not (i["blocks"] and i["tiles"] and tokens):
            return p.starts
        while not self._products:
            yield self._asked
        beats = self._products.popleft()
        found = product(self.core, i, tokens, beats)
        terms = found.tile + (found.tiles - 1) * found.following
        pace = max(terms / beats, self._path.each)
        cycle: float = p.starts + found.first
        ideal = cycle + terms
        slices = self.core.gemm.columns // self.core.lanes
        first = p.starts + found.first + found.tile + found.end - tokens * slices
        self.port.coming(SumsComing(first, pace * beats / found.tiles, found.tiles, tokens * slices))
        end = self._taken_beats + beats
        self.weights.take(self._taken_beats, cycle)
        bursts, number = self.weights.bursts, self._next_burst
        while self._taken_beats < end:
            while number >= len(bursts):
                yield self.weights.arrived
            until, first, last = bursts[number]
            spent = (until - self._taken_beats) * pace
            cycle = max(cycle + spent, first + self._path.cycles + spent, last + self._path.cycles + pace)
            self._taken_beats = until
            self.weights.take(until, cycle)
            number += 1
        self._next_burst = number
        self.starved += max(0, ceil(cycle - ideal - ROUNDING))
        written = ceil(cycle - ROUNDING) + found.end
        yield written
        while (end_cycle := self.port.sums_end(written, self.events.now)) is None:
            yield self.port.busy_until
        return end_cycle

    _next_burst = 0

    def _vector(self) -> Process:
        queue, slots, idle = self.queues[Unit.VECTOR], self.slots, 0
        while True:
            yield from queue.next()
            p = queue.presented
            if p.chunk.carries_out(p.instruction):
                yield p.starts
                taken, done = slots.run(p.instruction.values, p.chunk.tokens, p.starts)
                idle = max(idle, done + 1)
            else:
                taken = done = max(p.starts, idle)
            queue.taken(taken)
            queue.give(p.instruction, done)
            self._record(p, Unit.VECTOR, taken, done)

    def _load(self, p: Presented) -> Steps:
        i, chunk, reader = p.instruction, p.chunk, self._tables
        ids = i.opcode.name == "ids"
        single = not ids and i["rows"] == Rows.ONE
        rows = 1 if single else chunk.tokens
        if not rows or not (ids or i["words"]):
            return p.starts
        word_beats = self.core.lanes * 32 // (8 * self.core.beat_bytes)
        short = not ids and i["elements"] == Elements.BFLOAT16
        takes = 1 if ids else i["words"] * word_beats
        beats = (takes + 1) >> 1 if short else takes
        request = p.starts + LOAD_START
        for row in range(rows):
            # The number of a token's row is not known; how long it takes does not depend on it.
            place = 0 if single else row if not ids and i["rows"] == Rows.TOKENS else chunk.position + row
            while (accepted := reader.ready(request)) is None:
                yield reader.accepted
            reader.request(accepted, i["offset"] + place * (1 if ids else i["stride"]), beats)
            request = accepted + LOAD_REQUEST
        cycle: float = p.starts
        wanted = self._loaded + rows * beats
        while self._loaded < wanted:
            while self._load_burst >= len(reader.bursts):
                yield reader.arrived
            until, first, last = reader.bursts[self._load_burst]
            count = (until - self._loaded) * takes / beats
            cycle = max(cycle + count, first + count - 1, last)
            self._loaded = until
            self._load_burst += 1
        end = ceil(cycle)
        if not ids:
            words = rows * i["words"]
            self.port.load(end + 1 - (words - 1) * word_beats, end + 1, word_beats)
        return end + (1 if ids else LOAD_END)

    _loaded = _load_burst = 0

    def _store(self, p: Presented) -> Steps:
        cycle = p.starts
        for write in self._writer.requests(p.instruction, p.chunk):
            yield cycle
            cycle = self._writer.write(cycle, write)
        return cycle

    def _attend(self) -> Process:
        """Take one `attend` after the other, up to ATTEND_BLOCKS of which are not complete."""
        queue, lane = self.queues[Unit.ATTENTION], self.lane
        jobs, before = 0, None
        while True:
            yield from queue.next()
            p = queue.presented
            i, number = p.instruction, len(self._attends)
            at, work = p.starts + ATTEND_START, None
            tokens = max(0, min(i["count"], p.chunk.tokens - i["first"]))
            if p.chunk.carries_out(i) and tokens and i["group"] and i["query_head"] and i["value_head"] >= lane.lanes:
                keys, values, skip = tile_requests(self.core.cache, i.values, p.chunk, tokens)
                while (free := lane.free(jobs, before)) is None:
                    yield lane.progress
                offered = max(at + skip, free)
                work = AttentionWork(i["query_head"], i["value_head"], keys, values, tokens * i["group"], offered)
                jobs, before, at = jobs + 1, work, offered
                lane.offer(work)
            # Engine and reader may have their jobs before there is room for the rest of the instruction.
            if number >= ATTEND_BLOCKS:
                while len(self._attended) <= number - ATTEND_BLOCKS:
                    yield lane.progress
                at = max(at, self._attended[number - ATTEND_BLOCKS] + 1)
            queue.taken(at)
            self._attends.append((p, at, work))
            lane.progress.raise_now()

    def _attended_in_order(self) -> Process:
        """Complete one `attend` after the other."""
        lane, ends = self.lane, 0
        extra = LANES_LATENCY if self.core.cache_in_channels else 0
        while True:
            while len(self._attends) <= len(self._attended):
                yield lane.progress
            p, taken, work = self._attends[len(self._attended)]
            while work is not None and work.done is None:
                yield lane.progress
            ends = max(ends + 1, taken + 1 if work is None else (work.done or 0) + extra)
            self._attended.append(ends)
            self.queues[Unit.ATTENTION].give(p.instruction, ends)
            self._record(p, Unit.ATTENTION, taken, ends)
            lane.progress.raise_now()
