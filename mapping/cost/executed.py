"""Instructions that units have carried out, and which of them a job has waited for."""

from collections.abc import Iterator
from dataclasses import dataclass

from einloom.spec.isa import UNITS, Unit


@dataclass(slots=True)
class Executed:
    """An instruction that was carried out, or skipped.

    Attributes
    ----------
    waits : the cycle in which it reaches its unit.
    starts : ... in which it has its permits.
    taken : ... in which the unit makes room for the next one.
    ends : ... in which it is complete.
    starved : cycles of these in which it waits for memory.
    after : the instruction whose permit came last, None if none came after `waits`.
    before : the unit's instruction before it.
    """

    unit: Unit
    index: int
    waits: int
    starts: int
    taken: int = 0
    ends: int = 0
    starved: int = 0
    after: "Executed | None" = None
    before: "Executed | None" = None


@dataclass(frozen=True)
class Span:
    """Cycles of a job in which all waited for an instruction, or for its dispatch if it had not come to its unit."""

    executed: Executed
    cycles: int
    dispatch: bool = False


def critical_path(last: Executed, cycles: int) -> Iterator[Span]:
    """What a job of so many cycles that ends with `last` has waited for, from its end to its start.

    Each instruction starts when a permit comes, when its unit has taken the one before, or when the sequencer hands it
    out, whichever is last. The spans add up to all cycles.
    """
    until, executed = cycles, last
    while True:
        yield Span(executed, until - min(until, executed.starts))
        until = min(until, executed.starts)
        if executed.after is not None:
            executed = executed.after
            continue
        before = executed.before
        handed_over = executed.waits if before is None else executed.waits - before.taken - 1
        if handed_over > 0:
            yield Span(executed, min(until, handed_over), dispatch=True)
            until -= min(until, handed_over)
        if before is None:
            return
        executed = before


@dataclass(frozen=True)
class UnitCycles:
    """A unit's time in a job: at work, waiting for permits, and of its work waiting for memory."""

    busy: int
    waiting: int
    starved: int


def unit_cycles(executed: list[Executed]) -> dict[Unit, UnitCycles]:
    """Time of each unit. Work of instructions that overlap counts once."""
    found: dict[Unit, UnitCycles] = {}
    for unit in UNITS:
        busy, until = 0, 0
        own = [e for e in executed if e.unit is unit]
        for e in own:
            busy += max(0, e.ends - max(e.starts, until - 1)) if e.ends >= e.starts else 0
            until = max(until, e.ends + 1)
        found[unit] = UnitCycles(busy, sum(e.starts - e.waits for e in own), sum(e.starved for e in own))
    return found
