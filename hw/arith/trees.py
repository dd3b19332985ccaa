"""Balanced reduction trees: their depth is the logarithm of the number of operands."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from amaranth import Module, Mux

from einloom.hw.arith.delay import delayed

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


def pipelined_add_tree(m: Module, name: str, values, cycles: int):
    """Sum of `values`, so many cycles later, with its levels spread over the cycles."""
    at_once = 1
    while at_once**cycles < len(values):
        at_once *= 2
    for cycle in range(cycles):
        parts = [values[n : n + at_once] for n in range(0, len(values), at_once)]
        values = [delayed(m, f"{name}_{cycle}_{n}", add_tree(part), 1) for n, part in enumerate(parts)]
    return values[0]


def max_tree(values):
    """Largest of `values`."""
    return tree(lambda a, b: Mux(a > b, a, b), values)
