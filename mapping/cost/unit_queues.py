"""Queues of instructions in front of units, and the permits between them, as times."""

from collections import deque
from dataclasses import dataclass

from einloom.mapping.cost.events import Events, Process, Signal
from einloom.mapping.cost.executed import Behind, Executed
from einloom.mapping.cost.latencies import PERMIT_LATENCY, QUEUE_DEPTH, QUEUE_LATENCY
from einloom.spec.instruction import Instruction
from einloom.spec.isa import UNITS, Condition, Unit


@dataclass(frozen=True)
class Chunk:
    """The tokens at work: the position of the first, their number, and whether no chunk follows."""

    position: int
    tokens: int
    last: bool

    def carries_out(self, instruction: Instruction) -> bool:
        """The condition of an instruction holds."""
        condition = instruction["condition"]
        if condition == Condition.TOKEN_PRESENT:
            return instruction["first"] < self.tokens
        return self.tokens > 0 and (condition != Condition.LAST_CHUNK or self.last)


class Permits:
    """Permits from one unit to another: the cycle from which each can be taken, and the instruction that gives it."""

    def __init__(self, events: Events) -> None:
        count = len(Unit)
        self._given: list[list[deque[tuple[int, Executed]]]] = [[deque() for _ in range(count)] for _ in range(count)]
        self._signals = [Signal(events) for _ in range(count)]

    def give(self, executed: Executed, mask: int) -> None:
        """A permit from an instruction that ends to each unit in `mask`."""
        for unit in UNITS:
            if mask >> unit & 1:
                self._given[executed.unit][unit].append((executed.ends + PERMIT_LATENCY, executed))
                self._signals[unit].raise_now()

    def there(self, taker: int, mask: int) -> Signal | None:
        """What to wait for until all permits in `mask` for `taker` are known; None if they are."""
        known = all(self._given[giver][taker] for giver in UNITS if mask >> giver & 1)
        return None if known else self._signals[taker]

    def take(self, taker: int, mask: int) -> tuple[int, Executed | None]:
        """Take one from each unit in `mask`; the first cycle in which all are there, and who gave the last one."""
        cycle, after = 0, None
        for giver in UNITS:
            if mask >> giver & 1:
                given, by = self._given[giver][taker].popleft()
                if given >= cycle:
                    cycle, after = given, by
        return cycle, after


@dataclass
class Presented:
    """An instruction in front of its unit."""

    instruction: Instruction
    chunk: Chunk
    record: Executed

    @property
    def starts(self) -> int:
        """The cycle from which on it is carried out."""
        return self.record.starts


class UnitQueue:
    """The instructions of a unit, in order.

    Attributes
    ----------
    presented : the present one.
    room : raised when one leaves the queue for the unit.
    """

    def __init__(self, events: Events, unit: Unit, permits: Permits) -> None:
        self._unit, self._permits = unit, permits
        self._waiting: deque[tuple[int, int, Instruction, Chunk, Behind | None]] = deque()
        self._put, self.room = Signal(events), Signal(events)
        self._count = 0
        self._records: list[Executed] = []  # of instructions that left for the unit
        self._free = 0  # the cycle from which on the unit can be presented with the next one
        self.presented: Presented

    @property
    def empty(self) -> bool:
        return not self._waiting

    def has_room(self, cycle: int) -> int | None:
        """The cycle from `cycle` on in which the next instruction can be put, None if it isn't known."""
        before = self._count - QUEUE_DEPTH
        if before < 0:
            return cycle
        return max(cycle, self._records[before].waits) if before < len(self._records) else None

    def made_room(self) -> Executed:
        """The instruction that made room for the next one, where it had to wait for room."""
        return self._records[self._count - QUEUE_DEPTH]

    def put(self, cycle: int, index: int, instruction: Instruction, chunk: Chunk, behind: Behind | None) -> None:
        """The sequencer hands over an instruction; it last waited `behind` another one."""
        self._count += 1
        self._waiting.append((cycle, index, instruction, chunk, behind))
        self._put.raise_now()

    def next(self) -> Process:
        """Wait for the next instruction and its permits; then `presented` is it."""
        while not self._waiting:
            yield self._put
        cycle, index, instruction, chunk, behind = self._waiting.popleft()
        waits = max(self._free, cycle + QUEUE_LATENCY)
        before = self._records[-1] if self._records else None
        record = Executed(self._unit, index, waits, before=before, behind=behind)
        self._records.append(record)
        self.room.raise_now()
        mask = instruction["wait"]
        while signal := self._permits.there(self._unit, mask):
            yield signal
        permitted, after = self._permits.take(self._unit, mask)
        record.starts = max(waits, permitted)
        record.after = after if permitted > waits else None
        self.presented = Presented(instruction, chunk, record)

    def taken(self, cycle: int) -> None:
        """The unit has taken the presented instruction at the end of `cycle`."""
        self.presented.record.taken = cycle
        self._free = cycle + 1

    def end(self, presented: Presented, cycle: int) -> None:
        """An instruction is complete at the end of `cycle`."""
        presented.record.ends = cycle
        if mask := presented.instruction["signal"]:
            self._permits.give(presented.record, mask)
