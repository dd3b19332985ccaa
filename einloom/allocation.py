"""Allocation of a scratchpad: in which order operators run, where tensors lie, and what is moved out and in again."""

import json
from dataclasses import dataclass
from pathlib import Path

from einloom.catalogue import load_operators
from einloom.html import rows_table
from einloom.mapping.allocation.allocate import Allocation, greedy_allocations
from einloom.mapping.allocation.allocate import allocate as search
from einloom.mapping.allocation.graph import OperatorGraph
from einloom.spec.errors import InputError
from einloom.spec.files import write_file

SECONDS = 60.0
"""Seconds of computing that a search may take, unless told otherwise."""


@dataclass(frozen=True)
class AllocationReport:
    """A schedule for a graph of operators, beside those of the greedy allocator.

    Attributes
    ----------
    words : of the scratchpad.
    best : the schedule, replayed.
    greedy : what Belady's rule makes of the order of the file, and of the order that frees most.
    """

    graph: OperatorGraph
    words: int
    best: Allocation
    greedy: tuple[Allocation, ...]

    def figures(self) -> dict[str, object]:
        """Plain data: words moved, what is proven, and the schedule."""
        return {
            "graph": self.graph.name,
            "words": self.words,
            "least_words": self.graph.largest_footprint,
            "enough_words": self.best.enough,
            "compulsory": self.graph.compulsory,
            **_moved(self.best),
            "bound": self.best.bound,
            "proven": self.best.proven,
            "seconds": round(self.best.seconds, 3),
            "greedy": {allocation.method: _moved(allocation) for allocation in self.greedy},
            "order": [step.operator for step in self.best.schedule],
            "schedule": [step.as_json() for step in self.best.schedule],
        }

    def write(self, path: str | Path) -> None:
        """Write the figures, schedule included, as JSON; InputError when the disk refuses."""
        write_file(Path(path), (json.dumps(self.figures(), indent=1) + "\n").encode())

    def _repr_html_(self) -> str:
        rows = ((a.method, f"{a.traffic.extra:,}") for a in (self.best, *self.greedy))
        return rows_table(f"{self.graph.name} in {self.words:,} words", ("allocator", "extra words"), rows)


def allocate(graph: str | Path | OperatorGraph, words: int, *, seconds: float = SECONDS) -> AllocationReport:
    """The schedule of a graph of operators in a scratchpad of `words` that moves the fewest words.

    Parameters
    ----------
    graph : a YAML file, the name of a shipped graph, or a graph.
    seconds : of computing that the search may take.

    Raises InputError when there is no such graph, it can't be read, or an operator needs more than `words`; ToolError
    without HiGHS.
    """
    loaded = graph if isinstance(graph, OperatorGraph) else load_operators(graph)
    if words < 1 or not 0 < seconds < float("inf"):
        raise InputError("--words and --seconds must be more than 0")
    return AllocationReport(loaded, words, search(loaded, words, seconds), greedy_allocations(loaded, words))


def _moved(allocation: Allocation) -> dict[str, int]:
    traffic = allocation.traffic
    return {"extra": traffic.extra, "loaded": traffic.loaded, "stored": traffic.stored, "peak": traffic.peak}
