"""The fewest extra words of a tiny graph, by trying every schedule: an outside truth for the allocators."""

import heapq
import random
from collections.abc import Iterator
from itertools import chain, combinations, count

from einloom.mapping.allocation.graph import Operator, OperatorGraph

State = tuple[frozenset[str], frozenset[tuple[str, int]], frozenset[str]]
"""Operators that have run, tensors with their addresses, and tensors that are outside."""


def random_graph(seed: int, operators: int, largest: int = 3) -> OperatorGraph:
    """A random graph with two inputs."""
    chance = random.Random(seed)
    made = ["x", "y"]
    found = list[Operator]()
    for n in range(operators):
        reads = chance.sample(made[-5:], chance.randint(1, 2))
        writes = [f"t{n}"] if chance.random() < 0.8 else [f"t{n}", f"u{n}"]
        found.append(Operator(f"o{n}", tuple(reads), tuple(writes)))
        made += writes
    used = {tensor for operator in found for tensor in (*operator.reads, *operator.writes)}
    sizes = {tensor: chance.randint(1, largest) for tensor in made if tensor in used}
    read = {tensor for operator in found for tensor in operator.reads}
    written = {tensor for operator in found for tensor in operator.writes}
    also = {tensor for tensor in sorted(written & read) if chance.random() < 0.1}
    return OperatorGraph(f"random {seed}", tuple(found), sizes, frozenset((written - read) | also))


def fewest_extra_words(graph: OperatorGraph, words: int) -> int:
    """Dijkstra's search over all states: the order, every subset that is dropped, every address."""
    number = count()
    begin: State = frozenset(), frozenset(), frozenset(graph.inputs)
    best, queue = {begin: 0}, [(0, next(number), begin)]
    while queue:
        cost, _, state = heapq.heappop(queue)
        if len(state[0]) == len(graph.operators):
            return cost
        if cost > best[state]:
            continue
        for more, after in _steps(graph, words, state):
            if cost + more < best.get(after, 1 << 60):
                best[after] = cost + more
                heapq.heappush(queue, (cost + more, next(number), after))
    raise AssertionError("no schedule")


def _steps(graph: OperatorGraph, words: int, state: State) -> Iterator[tuple[int, State]]:
    done, layout, outside = state
    there = dict(layout)
    written = {tensor for operator in graph.operators if operator.name in done for tensor in operator.writes}
    for operator in graph.operators:
        if operator.name in done or not written | graph.inputs >= set(operator.reads):
            continue
        for dropped in _subsets(sorted(there)):
            cost, out = 0, set(outside)
            for tensor in dropped:  # all that lies there is needed again
                if tensor not in out:
                    out.add(tensor)
                    cost += 0 if tensor in graph.outputs else graph.sizes[tensor]
            kept = {tensor: address for tensor, address in there.items() if tensor not in dropped}
            for tensor in operator.reads:
                if tensor not in kept:
                    assert tensor in out
                    cost += 0 if tensor in graph.inputs and _first(graph, tensor, done) else graph.sizes[tensor]
            missing = [tensor for tensor in (*operator.reads, *operator.writes) if tensor not in kept]
            after = done | {operator.name}
            for placed in _placings(graph, words, kept, missing):
                stays = {(t, a) for t, a in placed.items() if _needed(graph, t, after)}
                yield cost, (after, frozenset(stays), frozenset(out))


def _first(graph: OperatorGraph, tensor: str, done: frozenset[str]) -> bool:
    return not any(operator.name in done for operator in graph.operators if tensor in operator.reads)


def _needed(graph: OperatorGraph, tensor: str, done: frozenset[str]) -> bool:
    return any(operator.name not in done for operator in graph.operators if tensor in operator.reads)


def _subsets(items: list[str]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(items, n) for n in range(len(items) + 1))


def _placings(graph: OperatorGraph, words: int, kept: dict[str, int], missing: list[str]) -> Iterator[dict[str, int]]:
    if not missing:
        yield kept
        return
    tensor, *rest = missing
    size = graph.sizes[tensor]
    for address in range(words - size + 1):
        if all(address + size <= a or a + graph.sizes[other] <= address for other, a in kept.items()):
            yield from _placings(graph, words, kept | {tensor: address}, rest)
