"""Permits: which instruction has to wait for which, and how the units tell each other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from einloom.mapping.regions import Memory, Region
from einloom.spec.instruction import Instruction
from einloom.spec.isa import Unit


@dataclass(frozen=True)
class Step:
    """An instruction with the regions that it reads and writes."""

    instruction: Instruction
    reads: frozenset[Region] = frozenset()
    writes: frozenset[Region] = frozenset()
    note: str = ""

    @property
    def unit(self) -> Unit:
        return self.instruction.opcode.unit


@dataclass
class _History:
    """Who touched a region last: the writer, and the last reader of each unit since."""

    writer: tuple[Unit, int] | None = None
    readers: dict[Unit, int] = field(default_factory=dict)


def insert_permits(steps: Sequence[Step]) -> list[Instruction]:
    """The instructions of `steps`, with the permits that keep their results when units run side by side.

    `steps` are in program order: executed one after the other they compute the right thing. A unit executes its own
    instructions in order, so only dependencies between units need permits. What writes a region also waits for all that
    touched the regions which share its words. A permit from the latest instruction that a step needs of another unit
    stands for all earlier ones of that unit. Dependencies are transitive: if B waits for A and C waits for B, C needs
    no permit from A. CONTROL instructions wait for all units, so no dependency crosses them.
    """
    waits: list[set[Unit]] = [set() for _ in steps]
    signals: list[set[Unit]] = [set() for _ in steps]
    history: dict[Region, _History] = {}
    sharing = overlaps(region for step in steps for region in step.reads | step.writes)
    complete: list[dict[Unit, int]] = []  # by step: the last step of each unit known to be complete at its start
    latest: dict[Unit, int] = {}
    for n, step in enumerate(steps):
        known = _known(complete, latest.get(step.unit), step.unit)
        for unit, m in sorted(_needed(step, history, sharing).items(), key=lambda item: -item[1]):
            if unit != step.unit and m > known.get(unit, -1):
                waits[n].add(unit)
                signals[m].add(step.unit)
                for other, k in (complete[m] | {unit: m}).items():
                    known[other] = max(known.get(other, -1), k)
        complete.append(known)
        latest[step.unit] = n
        if step.unit is Unit.CONTROL:
            history, latest = {}, {}
            continue
        _record(step, n, history)
    return [step.instruction.changed(wait=_mask(waits[n]), signal=_mask(signals[n])) for n, step in enumerate(steps)]


def _known(complete: list[dict[Unit, int]], before: int | None, unit: Unit) -> dict[Unit, int]:
    """Steps complete before the unit's next instruction starts: its last one, `before`, and all that `before` knew."""
    return {} if before is None else complete[before] | {unit: before}


def overlaps(regions: Iterable[Region]) -> dict[Region, list[Region]]:
    """Of each region that shares words with others, these others."""
    found: dict[Region, list[Region]] = {}
    open_ones = list[Region]()
    for region in sorted(set(regions), key=lambda r: (r.memory.value, r.base, r.name)):
        open_ones = [o for o in open_ones if o.memory is region.memory and region.base < o.base + o.words * o.tokens]
        for other in open_ones if region.memory is Memory.VECTOR and region.words else ():
            found.setdefault(region, []).append(other)
            found.setdefault(other, []).append(region)
        open_ones.append(region)
    return found


def _needed(step: Step, history: dict[Region, _History], sharing: Mapping[Region, Sequence[Region]]) -> dict[Unit, int]:
    """The latest step of each unit that must be complete before `step` starts."""
    needed: dict[Unit, int] = {}

    def need(unit: Unit, n: int) -> None:
        needed[unit] = max(needed.get(unit, -1), n)

    for region in step.reads | step.writes:
        if (past := history.get(region)) is None:
            continue
        if past.writer is not None:
            need(*past.writer)
        if region in step.writes:
            for unit, n in past.readers.items():
                need(unit, n)
    for region in step.writes:
        for other in sharing.get(region, ()):
            if (past := history.get(other)) is not None:
                for unit, n in (*past.readers.items(), *([past.writer] if past.writer else ())):
                    need(unit, n)
    return needed


def _record(step: Step, n: int, history: dict[Region, _History]) -> None:
    for region in step.writes:
        history[region] = _History(writer=(step.unit, n))
    for region in step.reads - step.writes:
        history.setdefault(region, _History()).readers[step.unit] = n


def _mask(units: set[Unit]) -> int:
    return sum(1 << unit for unit in units)
