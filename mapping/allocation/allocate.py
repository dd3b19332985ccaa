"""Order, addresses and replacement of a graph's tensors in a scratchpad, with the fewest words moved that are found.

The way of COSMA (arXiv 2311.18246), in parts that a free solver can take:

1. Where all that passes on is what one operator has at hand, and every order has that operator at that step, the graph
   is cut. What is best for each piece is best for the whole.
2. The order and the replacement of a piece are an integer program in which all that is there must fit together
   (order_program.py). No schedule moves less than that, so it is a bound. A piece that is too large for it is improved
   window by window.
3. The runs of the result are packed. If they fit, the bound is reached, and the schedule is proven best.
4. If not, replacement and addresses are an integer program for the order found (address_program.py), and for small
   graphs with the order, too.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from einloom.mapping.allocation.address_program import AddressProgram
from einloom.mapping.allocation.graph import OperatorGraph
from einloom.mapping.allocation.greedy import Placement, check_fits, greedy, greedy_packed
from einloom.mapping.allocation.order_program import OrderProgram
from einloom.mapping.allocation.orders import frugal_order, least_peak_order
from einloom.mapping.allocation.packing import pack
from einloom.mapping.allocation.replay import Traffic, replay
from einloom.mapping.allocation.schedule import Keeps, Order, ScheduleStep, extra_words, runs_of, schedule_of
from einloom.mapping.allocation.solver import Clock
from einloom.mapping.allocation.window import Window

Allocator = Callable[[OperatorGraph, Order, int], Placement | None]
"""What stays and where it lies, for a graph, an order and the words of the scratchpad."""
LARGEST_JOINT = 12
"""Operators of a graph whose order and addresses are solved together, when they can't be one after the other."""
LARGEST_PIECE = 36
"""Operators of a piece whose program is solved as a whole."""
WINDOW = 14
"""Operators of a window in a larger piece."""


@dataclass(frozen=True)
class Allocation:
    """A schedule that was replayed.

    Attributes
    ----------
    method : what found it.
    traffic : the words that it moves.
    bound : extra words that no schedule goes below, 0 if nothing better is known.
    seconds : time in which the process computed.
    enough : words in which no tensor would have to leave, addresses aside; None if unknown.
    """

    method: str
    schedule: tuple[ScheduleStep, ...]
    traffic: Traffic
    bound: int
    seconds: float
    enough: int | None = None

    @property
    def proven(self) -> bool:
        """No schedule moves less."""
        return self.traffic.extra == self.bound


def greedy_allocations(graph: OperatorGraph, words: int) -> tuple[Allocation, ...]:
    """What greedy allocators make of the order of the list and of the frugal one: first fit as they go, and addresses
    for all of it in the end, where they find some.

    InputError when an operator doesn't fit.
    """
    found = list[Allocation]()
    allocators: dict[str, Allocator] = {"first fit": greedy, "packed": greedy_packed}
    for name, order in (("list", tuple(range(len(graph.operators)))), ("frugal", frugal_order(graph))):
        for how, allocator in allocators.items():
            began = time.process_time()
            placement = allocator(graph, order, words)
            if placement is not None:
                found.append(_finished(f"{name} order, Belady, {how}", graph, order, placement, words, 0, began))
    return tuple(found)


def allocate(graph: OperatorGraph, words: int, seconds: float = 60.0) -> Allocation:
    """The best schedule that is found in so many seconds of computing; never worse than the greedy ones.

    InputError when an operator doesn't fit into `words`; ToolError without HiGHS.
    """
    check_fits(graph, words)
    began, clock = time.process_time(), Clock(seconds)
    searched = _Search(graph, words, clock)
    order, keeps, bound = searched.relaxed()
    order, placement, bound = searched.placed(order, keeps, bound)
    found = [
        _finished("integer program", graph, order, placement, words, bound, began),
        *greedy_allocations(graph, words),
    ]
    best = min(found, key=lambda allocation: allocation.traffic.extra)
    enough = searched.least_peak.words if searched.least_peak.proven else None
    return Allocation("integer program", best.schedule, best.traffic, bound, time.process_time() - began, enough)


def _finished(
    method: str,
    graph: OperatorGraph,
    order: Sequence[int],
    placement: Placement,
    words: int,
    bound: int,
    began: float,
) -> Allocation:
    schedule = schedule_of(graph, order, placement.keeps, placement.addresses)
    return Allocation(method, schedule, replay(graph, schedule, words), bound, time.process_time() - began)


class _Search:
    """The parts of the search, which share a budget of time."""

    def __init__(self, graph: OperatorGraph, words: int, clock: Clock) -> None:
        self._graph, self._words, self._clock = graph, words, clock
        self.least_peak = least_peak_order(graph)

    def relaxed(self) -> tuple[Order, Keeps, int]:
        """Order and keeps whose tensors fit together, addresses aside, and a bound of extra words."""
        graph = self._graph
        orders = [tuple(range(len(graph.operators))), frugal_order(graph), self.least_peak.order]
        starts = [(order, self._replacement(order)) for order in dict.fromkeys(orders)]
        order, keeps = min(starts, key=lambda start: extra_words(graph, start[1]))
        bound = 0
        if extra_words(graph, keeps) == 0:
            return order, keeps, bound
        pieces = list(_pieces(graph, order))
        for n, (start, stop) in enumerate(pieces):
            share = self._clock.left / (len(pieces) - n)
            window = Window(graph, order, keeps, start, stop, cut=True)
            if stop - start <= LARGEST_PIECE:
                order, keeps, found = OrderProgram(window, self._words).solve(share / 2)
                bound += found.least
            else:
                order, keeps = self._windows(order, keeps, start, stop, Clock(share / 2))
        if self.least_peak.proven and self.least_peak.words > self._words:
            bound = max(bound, _cheapest_trip(graph))
        return order, keeps, min(bound, extra_words(graph, keeps))

    def _replacement(self, order: Order) -> Keeps:
        """The best replacement for an order, addresses aside."""
        start = greedy(self._graph, order, self._words)
        found, _ = AddressProgram(self._graph, order, self._words, addresses=False).solve(self._clock.left / 10, start)
        return (found or start).keeps

    def _windows(self, order: Order, keeps: Keeps, start: int, stop: int, clock: Clock) -> tuple[Order, Keeps]:
        """Improve windows that overlap by half, again and again until none becomes better."""
        graph, improved = self._graph, True
        while improved and clock.left:
            improved = False
            for at in range(start, stop - WINDOW // 2, WINDOW // 2):
                window = Window(graph, order, keeps, at, min(at + WINDOW, stop))
                new_order, new_keeps, _ = OrderProgram(window, self._words).solve(min(clock.left, 10.0))
                if extra_words(graph, new_keeps) < extra_words(graph, keeps):
                    order, keeps, improved = new_order, new_keeps, True
        return order, keeps

    def placed(self, order: Order, keeps: Keeps, bound: int) -> tuple[Order, Placement, int]:
        """Addresses, with as few moves more as are found; order and bound may become better on the way."""
        graph, words = self._graph, self._words
        if (addresses := pack(runs_of(graph, order, keeps), words)) is not None:
            return order, Placement(keeps, addresses), bound
        found = [(order, greedy(graph, order, words, planned=keeps))]
        placement, _ = AddressProgram(graph, order, words).solve(self._clock.left / 2)
        if placement is not None:
            found.append((order, placement))
        least = min(extra_words(graph, placement.keeps) for _, placement in found)
        if least > bound and len(order) <= LARGEST_JOINT:
            window = Window(graph, order, keeps, 0, len(order))
            other, _, said = OrderProgram(window, words, addresses=True).solve(self._clock.left / 2)
            if said.values:
                bound = max(bound, min(least, said.least))
                placement, _ = AddressProgram(graph, other, words).solve(self._clock.left)
                found += [(other, placement)] if placement is not None else []
        return *min(found, key=lambda pair: extra_words(graph, pair[1].keeps)), bound


def _cheapest_trip(graph: OperatorGraph) -> int:
    """Fewest extra words of a schedule in which anything has to leave."""
    again = [t for t, readers in graph.consumers.items() if len(readers) + (t in graph.producer) > 1]
    outside = graph.inputs | graph.outputs
    return min((graph.sizes[tensor] * (1 if tensor in outside else 2) for tensor in again), default=0)


def _pieces(graph: OperatorGraph, order: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The pieces between cuts, as steps from and to before."""
    start = 0
    done = 0
    for step, n in enumerate(order):
        done |= 1 << n
        last = step == len(order) - 1
        if last or _is_cut(graph, order, step, n, done):
            yield start, step + 1
            start = step + 1


def _is_cut(graph: OperatorGraph, order: Sequence[int], step: int, n: int, done: int) -> bool:
    """Every order has operator n at this step, and all that passes on is there then, and stored once whatever happens
    before: it was written just now, or is an input or an output."""
    if graph.before[n].bit_count() != step or not all(graph.before[m] >> n & 1 for m in order[step + 1 :]):
        return False
    operator = graph.operators[n]
    free = {*operator.writes, *(t for t in operator.reads if t in graph.inputs | graph.outputs)}
    for tensor, readers in graph.consumers.items():
        producer = graph.producer.get(tensor)
        touched = [*readers, *([] if producer is None else [producer])]
        if any(done >> m & 1 for m in touched) and not all(done >> m & 1 for m in touched) and tensor not in free:
            return False
    return True
