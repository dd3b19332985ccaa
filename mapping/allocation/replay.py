"""Replays a schedule step by step, from the graph alone: an independent check of what any allocator found."""

from collections.abc import Sequence
from dataclasses import dataclass

from einloom.mapping.allocation.graph import OperatorGraph
from einloom.mapping.allocation.schedule import ScheduleStep
from einloom.spec.errors import CheckFailed


@dataclass(frozen=True)
class Traffic:
    """Words between the scratchpad and the memory outside.

    Attributes
    ----------
    loaded, stored : words in and out.
    extra : words beyond those that any schedule moves.
    peak : the highest word in use, plus one.
    """

    loaded: int
    stored: int
    extra: int
    peak: int


def replay(graph: OperatorGraph, schedule: Sequence[ScheduleStep], words: int) -> Traffic:
    """Count what a schedule moves; CheckFailed where it breaks a rule.

    * every operator runs once, after those whose results it reads;
    * what an operator reads and writes is in the scratchpad while it runs;
    * no two tensors in the scratchpad share a word, and all lie within its `words`;
    * what is loaded is outside: an input, or a tensor that was stored before;
    * what is stored or dropped is in the scratchpad; a tensor that is dropped and needed again was stored;
    * in the end every output is outside.
    """
    state = _Scratchpad(graph, words)
    by_name = {operator.name: operator for operator in graph.operators}
    done = set[str]()
    for n, step in enumerate(schedule):
        place = f"step {n} ({step.operator})"
        operator = by_name.get(step.operator)
        if operator is None or step.operator in done:
            raise CheckFailed(f"{place}: {'runs twice' if operator else 'no such operator'}")
        done.add(step.operator)
        for tensor, address in step.loads.items():
            if tensor not in state.outside:
                raise CheckFailed(f"{place}: loads {tensor}, which is not outside")
            state.put(place, tensor, address)
            state.loaded += graph.sizes[tensor]
        for tensor in operator.reads:
            if tensor not in state.there:
                raise CheckFailed(f"{place}: reads {tensor}, which is not in the scratchpad")
        if step.places.keys() != set(operator.writes):
            raise CheckFailed(f"{place}: places {sorted(step.places)}, but writes {sorted(operator.writes)}")
        for tensor, address in step.places.items():
            state.put(place, tensor, address)
        state.leave(place, step)
    if len(done) != len(graph.operators):
        missing = next(operator.name for operator in graph.operators if operator.name not in done)
        raise CheckFailed(f"{missing} never runs")
    if lost := sorted(graph.outputs - state.outside):
        raise CheckFailed(f"the output {lost[0]} is not outside in the end")
    return Traffic(state.loaded, state.stored, state.loaded + state.stored - graph.compulsory, state.peak)


class _Scratchpad:
    """What lies in the scratchpad and what outside."""

    def __init__(self, graph: OperatorGraph, words: int) -> None:
        self._sizes, self._words = graph.sizes, words
        self.there: dict[str, int] = {}
        self.outside = set(graph.inputs)
        self.loaded = self.stored = self.peak = 0

    def put(self, place: str, tensor: str, address: int) -> None:
        """A tensor takes its words, which must be free."""
        end = address + self._sizes[tensor]
        if tensor in self.there:
            raise CheckFailed(f"{place}: {tensor} is in the scratchpad already")
        if not 0 <= address <= end <= self._words:
            raise CheckFailed(f"{place}: {tensor} at words {address} to {end - 1} is not within {self._words}")
        for other, at in self.there.items():
            if address < at + self._sizes[other] and at < end:
                raise CheckFailed(f"{place}: {tensor} at word {address} overlaps {other} at word {at}")
        self.there[tensor] = address
        self.peak = max(self.peak, end)

    def leave(self, place: str, step: ScheduleStep) -> None:
        """What goes out, and what is dropped."""
        for tensor in (*step.stores, *step.drops):
            if tensor not in self.there:
                raise CheckFailed(f"{place}: stores or drops {tensor}, which is not in the scratchpad")
        for tensor in step.stores:
            self.stored += self._sizes[tensor]
            self.outside.add(tensor)
        for tensor in step.drops:
            del self.there[tensor]
