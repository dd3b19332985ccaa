"""What a job of a program costs: its cycles, what they are spent on, and what would save them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from einloom.mapping.cost.core_simulation import CoreSimulation
from einloom.mapping.cost.executed import Span, UnitCycles, critical_path, unit_cycles
from einloom.mapping.cost.roofline import Work, operations_work
from einloom.mapping.cost.unlimited import NOTHING, Unlimited
from einloom.spec.isa import UNITS, Unit
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program

OTHERS = "the rest"
"""What belongs to no layer: embedding and head."""
SAMPLES = 3
"""Chunks of a long prompt that are simulated, beside the last one."""


class Bound(StrEnum):
    """What a job waits for."""

    memory = "memory"
    """Beats of weights, keys and values, or of rows."""
    array = "array"
    """Terms of products."""
    vector = "vector"
    """Words of the vector unit."""
    attention = "attention"
    """Steps and divisions of the attention engine."""
    latency = "latency"
    """The time from an instruction to its first word, or from its last word to the next one that reads it."""
    dispatch = "dispatch"
    """The sequencer."""


WORK = {
    Unit.WEIGHTS: Bound.memory,
    Unit.GEMM: Bound.array,
    Unit.VECTOR: Bound.vector,
    Unit.ATTENTION: Bound.attention,
    Unit.LOAD: Bound.memory,
    Unit.STORE: Bound.memory,
}
"""What a unit's own work is bound by."""


@dataclass(frozen=True)
class PartCost:
    """A part of a job: a layer, or a kind of operation in all of them.

    Attributes
    ----------
    bounds : cycles in which the job waited for this part, by what the part waited for.
    """

    name: str
    bounds: dict[Bound, int]

    @property
    def cycles(self) -> int:
        return sum(self.bounds.values())

    @property
    def bound(self) -> Bound:
        """What it waits for most."""
        return max(self.bounds, key=lambda bound: self.bounds[bound])


@dataclass(frozen=True)
class JobCost:
    """A job of a program.

    Attributes
    ----------
    layers, operations : its parts; the cycles of either add up to those of the job.
    units : time of each unit.
    least : fewest cycles that each resource needs for its work, if nothing ever waits.
    work : MACs, bytes and cycles of each operation with MACs.
    whole : ... of the job, all of its traffic included.
    events : unit, instruction, first and last cycle of all that was carried out, as in a trace of RTL.
    """

    position: int
    tokens: int
    cycles: int
    layers: tuple[PartCost, ...]
    operations: tuple[PartCost, ...]
    units: dict[Unit, UnitCycles]
    least: dict[Bound, int]
    work: tuple[Work, ...]
    whole: Work
    events: tuple[tuple[int, int, int, int], ...]

    @property
    def bounds(self) -> dict[Bound, int]:
        """Cycles of the job by what it waits for."""
        return _sums(part.bounds for part in self.layers)

    @property
    def bound(self) -> Bound:
        """The resource that would be busy longest if nothing ever waited."""
        return max(self.least, key=lambda bound: self.least[bound])

    @property
    def share_of_bound(self) -> float:
        """The cycles that this resource needs over those of the job."""
        return self.least[self.bound] / self.cycles


def job_cost(
    manifest: Manifest, program: Program, timing: MemoryTiming, layers: Sequence[str], position: int, tokens: int = 1
) -> JobCost:
    """Cost of a job of `tokens` from `position` on; `layers` are the names of the model's."""
    simulation = CoreSimulation(manifest, program.instructions, timing)
    cycles = simulation.run(position, tokens)
    by_layer: dict[str, Counter[Bound]] = {name: Counter() for name in (*layers, OTHERS)}
    by_operation: dict[str, Counter[Bound]] = {}
    places = [_place(note, layers) for note in dict.fromkeys(program.notes)]
    known = dict(zip(dict.fromkeys(program.notes), places, strict=True))
    if simulation.last is not None:
        for span in critical_path(simulation.last, cycles):
            layer, operation = known[program.notes[span.executed.index]]
            for bound, count in _waited_for(span).items():
                by_layer[layer][bound] += count
                by_operation.setdefault(operation, Counter())[bound] += count
    operations = sorted((_part(n, c) for n, c in by_operation.items()), key=lambda part: -part.cycles)
    units = unit_cycles(simulation.executed)
    return JobCost(
        position,
        tokens,
        cycles,
        tuple(_part(name, count) for name, count in by_layer.items()),
        tuple(operations),
        units,
        _least(simulation, timing),
        operations_work(simulation.executed, lambda index: known[program.notes[index]][1]),
        Work("whole token" if tokens == 1 else f"all {tokens} tokens", simulation.macs, simulation.bytes, cycles),
        tuple((UNITS.index(e.unit), e.index, e.starts, e.ends) for e in simulation.executed),
    )


def cycles_without(
    manifest: Manifest, program: Program, timing: MemoryTiming, position: int, tokens: int = 1
) -> dict[str, int]:
    """Cycles of the job if one resource after the other took no time."""
    return {
        name: job_cycles(manifest, program, timing, position, tokens, unlimited)
        for name, unlimited in Unlimited.each().items()
    }


def job_cycles(
    manifest: Manifest,
    program: Program,
    timing: MemoryTiming,
    position: int,
    tokens: int = 1,
    unlimited: Unlimited = NOTHING,
) -> int:
    """Cycles of a job alone."""
    return CoreSimulation(manifest, program.instructions, timing, unlimited).run(position, tokens)


def prompt_cycles(manifest: Manifest, program: Program, timing: MemoryTiming, tokens: int) -> int:
    """Cycles of a prompt's job, from position 0 to the logits."""
    return prompt_work(manifest, program, timing, tokens).cycles


def prompt_work(manifest: Manifest, program: Program, timing: MemoryTiming, tokens: int) -> Work:
    """MACs, bytes and cycles of a prompt's job, from position 0 to the logits.

    Chunks of a long one are simulated where it begins, in the middle and where it ends. In between, their figures lie
    on a parabola through these; with the position they grow no faster than attention does, linearly.
    """
    rows = manifest.core.gemm.rows
    chunks = -(-tokens // rows)

    def figures(position: int, tokens: int, goes_on: bool = False) -> NDArray[np.float64]:
        simulation = CoreSimulation(manifest, program.instructions, timing)
        cycles = simulation.run(position, tokens, goes_on=goes_on)
        return np.array([simulation.macs, simulation.bytes, cycles], np.float64)

    if chunks <= SAMPLES + 1:
        total = figures(0, tokens)
    else:
        before = chunks - 1
        first, middle, last = (figures(n * rows, rows, True) for n in (0, (before - 1) // 2, before - 1))
        total = np.round(before * (first + 4 * middle + last) / 6)
        total += figures(before * rows, tokens - before * rows)
    return Work(f"prompt of {tokens}", *(int(figure) for figure in total))


def _place(note: str, layers: Sequence[str]) -> tuple[str, str]:
    """The layer that a note of the program belongs to, and the kind of operation."""
    layer = next((name for name in layers if note.startswith((f"{name}:", f"{name}."))), OTHERS)
    rest = note.removeprefix(layer).lstrip(":. ") if layer != OTHERS else note
    return layer, re.split(r",? (?:outputs|of key heads) | \d+:|:", rest)[0]


def _waited_for(span: Span) -> Counter[Bound]:
    """The cycles of a span by what they were spent on."""
    if span.dispatch:
        return Counter({Bound.dispatch: span.cycles})
    executed, left = span.executed, span.cycles
    starved = min(left, executed.starved)
    work = min(left - starved, executed.work)
    found = Counter({Bound.memory: starved, Bound.latency: left - starved - work})
    found[WORK[executed.unit]] += work
    return found


def _least(simulation: CoreSimulation, timing: MemoryTiming) -> dict[Bound, int]:
    """Cycles of each resource's work: beats of a weight channel, terms, words, steps of the attention engine."""
    work: Counter[Bound] = Counter()
    for executed in simulation.executed:
        if executed.unit in (Unit.GEMM, Unit.VECTOR, Unit.ATTENTION):
            work[WORK[executed.unit]] += executed.work
    work[Bound.memory] = round(simulation.channel_beats / timing.beat_share)
    return dict(work)


def _part(name: str, count: Counter[Bound]) -> PartCost:
    return PartCost(name, {bound: count[bound] for bound in Bound})


def _sums(counts: Iterable[dict[Bound, int]]) -> dict[Bound, int]:
    total: Counter[Bound] = Counter()
    for count in counts:
        total.update(count)
    return {bound: total[bound] for bound in Bound}
