"""MACs and bytes of the parts of a job, and the roofs that a core's array and memory put over them.

A part of M multiply-accumulates and B bytes of memory that takes C cycles is at M / B on the horizontal axis and at
M / C on the vertical one, and can't be above min(MACs per cycle, bytes per cycle * M / B) for long. Source: Williams,
Waterman and Patterson, "Roofline", CACM 2009.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from einloom.mapping.cost.executed import Executed, merged_cycles
from einloom.mapping.cost.operation_work import peak_macs
from einloom.spec.formats import Format
from einloom.spec.isa import Unit
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import MemoryTiming

ATTENTION = "attention"
"""The operation of all `attend` instructions."""


@dataclass(frozen=True)
class Work:
    """MACs of a part of a job, bytes of memory that it reads and writes, and the cycles that it takes."""

    name: str
    macs: int
    bytes: int
    cycles: int

    @property
    def intensity(self) -> float:
        """MACs per byte of memory."""
        return self.macs / self.bytes

    @property
    def rate(self) -> float:
        """MACs per cycle."""
        return self.macs / self.cycles


@dataclass(frozen=True)
class Roof:
    """What an engine can do at most.

    Attributes
    ----------
    macs : per cycle, all rows and columns at work.
    macs_of_job : ... with only those rows of the array at work that have a token.
    bytes : per cycle, of the memory ports that feed it, refreshes taken off.
    """

    name: str
    macs: float
    macs_of_job: float
    bytes: float

    def attainable(self, intensity: float) -> float:
        """MACs per cycle of the present job at so many MACs per byte."""
        return min(self.macs_of_job, self.bytes * intensity)


def roofs(manifest: Manifest, format: Format, timing: MemoryTiming, tokens: int) -> tuple[Roof, Roof]:
    """Those of products with weights of a format, and of attention, in a job of so many tokens.

    An attention engine has a MAC in each of its rows and columns. Where the cache has no ports of its own, the roof of
    its memory is that of weights.
    """
    core = manifest.core
    gemm, attention = core.gemm, core.attention
    beat = core.beat_bytes * timing.beat_share
    array = [peak_macs(gemm, format, rows) for rows in (gemm.rows, min(tokens, gemm.rows))]
    lanes = float(core.attention_lanes * attention.rows * attention.columns)
    ports = {number for lane in core.cache_memories for number in lane}
    return (
        Roof("products", array[0], array[1], gemm.weights.channels * beat),
        Roof(ATTENTION, lanes, lanes, len(ports) * beat),
    )


def operations_work(executed: Iterable[Executed], operation: Callable[[int], str]) -> tuple[Work, ...]:
    """Work of each operation with MACs, those of most MACs first; `operation` is that of an instruction's number.

    Its cycles are those in which its engine was at it, waits for memory included. Weights may have been fetched ahead.
    """
    found: dict[str, list[Executed]] = {}
    for one in executed:
        if one.macs:
            name = ATTENTION if one.unit is Unit.ATTENTION else operation(one.index)
            found.setdefault(name, []).append(one)
    works = (
        Work(name, sum(one.macs for one in own), sum(one.bytes for one in own), merged_cycles(own))
        for name, own in found.items()
    )
    return tuple(sorted(works, key=lambda work: -work.macs))
