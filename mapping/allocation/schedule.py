"""Schedules: which operator runs when, what lies where, and what is moved.

A schedule is made from an order, from `keeps` (for each tensor and each gap between two steps that use it, whether it
stays in the scratchpad), and from an address for each run, the steps from a use to the next drop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from einloom.mapping.allocation.graph import OperatorGraph, uses

Order = tuple[int, ...]
"""Operators by their numbers in the graph's list, in the order in which they run."""
Keeps = dict[str, tuple[bool, ...]]
"""Of each tensor, one for each gap between consecutive steps that use it: it stays in the scratchpad."""


@dataclass(frozen=True, order=True)
class Run:
    """A tensor lies in the scratchpad, at one address, from the step `first` to the step `last`, both included."""

    first: int
    last: int
    tensor: str
    words: int

    def meets(self, other: "Run") -> bool:
        """Both are there at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class ScheduleStep:
    """An operator, and what is moved around it.

    Attributes
    ----------
    loads : tensors that come in from outside before it runs, with the word where each is put.
    places : tensors that it writes, with the word where each is put.
    stores : tensors that go out when it is done; they stay in the scratchpad, too.
    drops : tensors whose words are free after that.
    """

    operator: str
    loads: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    stores: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "operator": self.operator,
            "loads": self.loads,
            "places": self.places,
            "stores": list(self.stores),
            "drops": list(self.drops),
        }


def extra_words(graph: OperatorGraph, keeps: Keeps) -> int:
    """Words that are moved beyond the compulsory ones: each drop costs a load, and a tensor's first drop a store,
    unless the tensor is outside anyway, as an input or an output."""
    total = 0
    for tensor, kept in keeps.items():
        drops = kept.count(False)
        stored = drops > 0 and tensor not in graph.inputs and tensor not in graph.outputs
        total += graph.sizes[tensor] * (drops + stored)
    return total


def runs_of(graph: OperatorGraph, order: Sequence[int], keeps: Keeps) -> list[Run]:
    """The runs of all tensors, by their first steps."""
    runs = list[Run]()
    for tensor, steps in uses(graph, order).items():
        first = 0
        for n, step in enumerate(steps):
            if n == len(steps) - 1 or not keeps[tensor][n]:
                runs.append(Run(steps[first], step, tensor, graph.sizes[tensor]))
                first = n + 1
    return sorted(runs)


def live_words(runs: Sequence[Run], steps: int) -> list[int]:
    """Words in use at each step."""
    changes = [0] * (steps + 1)
    for run in runs:
        changes[run.first] += run.words
        changes[run.last + 1] -= run.words
    live, total = [], 0
    for change in changes[:-1]:
        total += change
        live.append(total)
    return live


def schedule_of(
    graph: OperatorGraph, order: Sequence[int], keeps: Keeps, addresses: Mapping[Run, int]
) -> tuple[ScheduleStep, ...]:
    """The schedule in which every run lies at its address.

    A tensor that comes back, and an output, is stored at the end of its first run.
    """
    steps = [ScheduleStep(graph.operators[n].name) for n in order]
    of_tensor: dict[str, list[Run]] = {}
    for run in runs_of(graph, order, keeps):
        of_tensor.setdefault(run.tensor, []).append(run)
    stores: list[list[str]] = [[] for _ in steps]
    drops: list[list[str]] = [[] for _ in steps]
    for tensor, runs in of_tensor.items():
        for n, run in enumerate(runs):
            made = n == 0 and tensor not in graph.inputs
            (steps[run.first].places if made else steps[run.first].loads)[tensor] = addresses[run]
            drops[run.last].append(tensor)
        if tensor in graph.outputs or (len(runs) > 1 and tensor not in graph.inputs):
            stores[runs[0].last].append(tensor)
    return tuple(
        ScheduleStep(step.operator, step.loads, step.places, tuple(stores[n]), tuple(drops[n]))
        for n, step in enumerate(steps)
    )
