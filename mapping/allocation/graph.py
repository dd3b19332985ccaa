"""A graph of operators and the tensors between them, in words of a scratchpad."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Operator:
    """One step of a computation: it needs all that it reads and all that it writes in the scratchpad at once."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class OperatorGraph:
    """Operators in the order of a list, every tensor written before it is read.

    Attributes
    ----------
    sizes : words of each tensor.
    outputs : tensors that must be in the memory outside in the end.
    """

    name: str
    operators: tuple[Operator, ...]
    sizes: dict[str, int]
    outputs: frozenset[str]

    @cached_property
    def producer(self) -> dict[str, int]:
        """The operator that writes each tensor; a tensor without one is an input, which lies outside at the start."""
        return {tensor: n for n, operator in enumerate(self.operators) for tensor in operator.writes}

    @cached_property
    def consumers(self) -> dict[str, tuple[int, ...]]:
        """The operators that read each tensor."""
        found: dict[str, list[int]] = {tensor: [] for tensor in self.sizes}
        for n, operator in enumerate(self.operators):
            for tensor in operator.reads:
                found[tensor].append(n)
        return {tensor: tuple(readers) for tensor, readers in found.items()}

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Tensors that no operator writes."""
        return frozenset(self.sizes.keys() - self.producer.keys())

    @cached_property
    def before(self) -> tuple[int, ...]:
        """For each operator the set of those whose results it needs, directly or not; bit n stands for operator n."""
        found: list[int] = []
        for operator in self.operators:
            ancestors = 0
            for tensor in operator.reads:
                if (n := self.producer.get(tensor)) is not None:
                    ancestors |= found[n] | 1 << n
            found.append(ancestors)
        return tuple(found)

    @cached_property
    def footprints(self) -> tuple[int, ...]:
        """Words that each operator needs at once."""
        return tuple(self.words({*operator.reads, *operator.writes}) for operator in self.operators)

    @property
    def largest_footprint(self) -> int:
        """Words of the operator that needs most: no smaller scratchpad will do."""
        return max(self.footprints)

    @property
    def compulsory(self) -> int:
        """Words that any schedule moves: each input once in, each output once out."""
        return self.words(tensor for tensor in self.inputs if self.consumers[tensor]) + self.words(self.outputs)

    def words(self, tensors: Iterable[str]) -> int:
        """Words of some tensors together."""
        return sum(self.sizes[tensor] for tensor in tensors)

    def ordered(self, order: Sequence[int]) -> "OperatorGraph":
        """The same graph with its operators listed in another order."""
        return OperatorGraph(self.name, tuple(self.operators[n] for n in order), self.sizes, self.outputs)


def uses(graph: OperatorGraph, order: Sequence[int]) -> dict[str, list[int]]:
    """The steps at which each tensor must be in the scratchpad when operators run in `order`, the first of which writes
    it or, of an input, reads it first. Tensors that nothing touches have none."""
    found: dict[str, list[int]] = {tensor: [] for tensor in graph.sizes}
    for step, n in enumerate(order):
        for tensor in dict.fromkeys((*graph.operators[n].writes, *graph.operators[n].reads)):
            found[tensor].append(step)
    return found
