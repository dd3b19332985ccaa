"""Balanced reduction trees, so that depth grows with the logarithm of the number of operands."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from amaranth import Mux

T = TypeVar("T")


def tree(operation: Callable[[T, T], T], values: Iterable[T]) -> T:
    """`operation` folded over `values` (at least one) pairwise; each level of a sum grows by one bit."""
    level = list(values)
    while len(level) > 1:
        pairs = [operation(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


def add_tree(values):
    """Sum of `values`."""
    return tree(lambda a, b: a + b, values)


def max_tree(values):
    """Largest of `values`."""
    return tree(lambda a, b: Mux(a > b, a, b), values)
