"""Orders of operators: the one that frees most at each step, and the one with the least peak, by search."""

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from einloom.mapping.allocation.graph import OperatorGraph
from einloom.mapping.allocation.schedule import Order

STATES = 20_000
"""Sets of operators that a search for the least peak looks at before it gives up the proof."""
BEAM = 64
"""Sets of as many operators that it keeps from then on."""


class Peak(NamedTuple):
    """An order, the words that it needs when nothing is moved out, and whether no order needs fewer."""

    order: Order
    words: int
    proven: bool


def frugal_order(graph: OperatorGraph) -> Order:
    """Of the operators that may run, always the one after which fewest words are live; the first of those that tie.

    The memory-aware order of COSMA's evaluation (minimum peak memory first).
    """
    state, order = _State(0, 0, 0), list[int]()
    steps = _Steps(graph)
    while len(order) < len(graph.operators):
        state, n = min(steps.after(state), key=lambda step: (step[0].live, step[0].peak, step[1]))
        state = state._replace(peak=0)
        order.append(n)
    return tuple(order)


def least_peak_order(graph: OperatorGraph, states: int = STATES) -> Peak:
    """The order that needs fewest words when nothing is moved out (COSMA finds it by its equations 13 to 15).

    Best-first search over the sets of operators that have run: what is live depends on the set alone, and the peak of a
    set is the least over all orders that lead to it. After so many `states` a beam search stands in.

    Fragmentation is not counted; a packing of the order says whether it costs anything.
    """
    steps, everything = _Steps(graph), (1 << len(graph.operators)) - 1
    best: dict[int, int] = {0: 0}
    came: dict[int, int] = {}
    queue: list[tuple[int, int, _State]] = [(0, 0, _State(0, 0, 0))]  # peak, operators still to run
    closed = set[int]()
    while queue and len(closed) < states:
        peak, _, state = heapq.heappop(queue)
        if state.done in closed:
            continue
        closed.add(state.done)
        if state.done == everything:
            return Peak(_path(came, everything), peak, True)
        for after, n in steps.after(state):
            if after.peak < best.get(after.done, 1 << 62):
                best[after.done], came[after.done] = after.peak, n
                heapq.heappush(queue, (after.peak, (everything & ~after.done).bit_count(), after))
    order = min(_beam(graph), frugal_order(graph), key=lambda order: peak_of(graph, order))
    return Peak(order, peak_of(graph, order), False)


def peak_of(graph: OperatorGraph, order: Sequence[int]) -> int:
    """Most words that are live at a step of `order` when nothing is moved out."""
    state, steps = _State(0, 0, 0), _Steps(graph)
    for n in order:
        state = steps.run(state, n)
    return state.peak


def _beam(graph: OperatorGraph) -> Order:
    """After each step the sets with the least peaks go on, and of those the ones with least alive."""
    steps, came = _Steps(graph), dict[int, int]()
    beam = [_State(0, 0, 0)]
    for _ in graph.operators:
        reached: dict[int, _State] = {}
        for state in beam:
            for after, n in steps.after(state):
                if after.done not in reached or after.peak < reached[after.done].peak:
                    reached[after.done], came[after.done] = after, n
        beam = sorted(reached.values(), key=lambda state: (state.peak, state.live, state.done))[:BEAM]
    return _path(came, beam[0].done)


def _path(came: dict[int, int], done: int) -> Order:
    order = list[int]()
    while done:
        order.append(came[done])
        done &= ~(1 << came[done])
    return tuple(reversed(order))


class _State(NamedTuple):
    """The operators that have run, bit n for operator n; words that are live, and the most so far."""

    done: int
    live: int
    peak: int


class _Steps:
    """What an operator changes. An input is live from its first reader on."""

    def __init__(self, graph: OperatorGraph) -> None:
        self._before = graph.before
        self._sizes = graph.sizes
        self._readers = {tensor: sum(1 << n for n in graph.consumers[tensor]) for tensor in graph.sizes}
        self._inputs = graph.inputs
        self._operators = graph.operators

    def after(self, state: _State) -> Iterator[tuple[_State, int]]:
        """The states after each operator that may run, with its number."""
        done = state.done
        for n, before in enumerate(self._before):
            if not done >> n & 1 and not before & ~done:
                yield self.run(state, n), n

    def run(self, state: _State, n: int) -> _State:
        """The state after operator n."""
        operator, done = self._operators[n], state.done | 1 << n
        during = state.live + sum(self._sizes[tensor] for tensor in operator.writes)
        for tensor in operator.reads:
            if tensor in self._inputs and not self._readers[tensor] & state.done:
                during += self._sizes[tensor]
        live = during
        for tensor in (*operator.reads, *operator.writes):
            if not self._readers[tensor] & ~done:
                live -= self._sizes[tensor]
        return _State(done, live, max(state.peak, during))
