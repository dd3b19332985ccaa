"""Instructions that units have carried out, and which of them a job has waited for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from einloom.spec.isa import UNITS, Unit


@dataclass(frozen=True, slots=True)
class Behind:
    """What the sequencer last waited for: that an instruction left its queue, or at a barrier that it was complete."""

    executed: "Executed"
    complete: bool


@dataclass(slots=True)
class Executed:
    """An instruction that was carried out, or skipped.

    Attributes
    ----------
    waits : the cycle in which it reaches its unit.
    starts : ... in which it has its permits.
    taken : ... in which the unit makes room for the next one.
    ends : ... in which it is complete.
    work : cycles of these that its throughput takes: terms, words, steps of the attention engine, beats.
    starved : ... in which the GEMM or the attention engine waits for memory.
    macs : multiply-accumulates (operation_work.py).
    bytes : of memory that are read or written, behind all ports.
    after : the instruction whose permit came last, None if none came after `waits`.
    before : the unit's instruction before it.
    behind : what the sequencer had waited for before it handed it out.
    """

    unit: Unit
    index: int
    waits: int
    starts: int = 0
    taken: int = 0
    ends: int = 0
    work: int = 0
    starved: int = 0
    macs: int = 0
    bytes: int = 0
    after: "Executed | None" = None
    before: "Executed | None" = None
    behind: Behind | None = None


@dataclass(frozen=True)
class Span:
    """Cycles of a job in which all waited for an instruction, or for its dispatch if it had not come to its unit."""

    executed: Executed
    cycles: int
    dispatch: bool = False


def critical_path(last: Executed, cycles: int) -> Iterator[Span]:
    """What a job of so many cycles that ends with `last` has waited for, from its end to its start.

    Each instruction starts when a permit comes, when its unit has taken the one before, or when the sequencer hands it
    out, whichever is last; of instructions that overlap, one has only the cycles behind the end of the one before. The
    spans add up to all cycles.
    """
    until = cycles
    executed: Executed | None = last
    while executed is not None:
        before = executed.before
        overlaps = before is not None and before.ends > executed.starts
        since = before.ends if before is not None and overlaps else executed.starts
        yield Span(executed, until - min(until, since))
        until = min(until, since)
        if overlaps:
            executed = before
        elif executed.after is not None:
            executed = executed.after
        elif before is not None and executed.waits <= before.taken + 1:
            executed = before
        else:
            # It came late: the sequencer had stood, or it is the first.
            behind = executed.behind
            since = 0 if behind is None else behind.executed.ends if behind.complete else behind.executed.waits
            yield Span(executed, until - min(until, since), dispatch=True)
            until = min(until, since)
            executed = None if behind is None else behind.executed if behind.complete else behind.executed.before


@dataclass(frozen=True)
class UnitCycles:
    """A unit's time in a job: at work, waiting for permits, and of its work waiting for memory."""

    busy: int
    waiting: int
    starved: int


def merged_cycles(executed: Iterable[Executed]) -> int:
    """Cycles in which instructions of a unit, in their order, are at work; where they overlap they count once."""
    busy, until = 0, 0
    for e in executed:
        busy += max(0, e.ends - max(e.starts, until - 1)) if e.ends >= e.starts else 0
        until = max(until, e.ends + 1)
    return busy


def unit_cycles(executed: list[Executed]) -> dict[Unit, UnitCycles]:
    """Time of each unit. Work of instructions that overlap counts once."""
    found: dict[Unit, UnitCycles] = {}
    for unit in UNITS:
        own = [e for e in executed if e.unit is unit]
        found[unit] = UnitCycles(merged_cycles(own), sum(e.starts - e.waits for e in own), sum(e.starved for e in own))
    return found
