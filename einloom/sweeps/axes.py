"""Points of a grid by their numbers, samples of them, and values as text."""

import json
import random
from collections.abc import Sequence
from math import prod
from typing import Any


def shown(value: object) -> str:
    """A value as text: floats with all their digits, lists as JSON, nothing for None."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def size(axes: Sequence[Sequence[object]]) -> int:
    """Points of the grid."""
    return prod(map(len, axes))


def values_at(axes: Sequence[Sequence[Any]], number: int) -> tuple[Any, ...]:
    """Values of point `number`, from 0; those of the last axis change fastest."""
    found = list[Any]()
    for axis in reversed(axes):
        number, index = divmod(number, len(axis))
        found.append(axis[index])
    return tuple(reversed(found))


def sample(total: int, count: int, seed: int) -> list[int]:
    """`count` of the numbers below `total`, each at most once, ascending; all if there are no more.

    The head of a Fisher-Yates shuffle, which keeps only what it has moved, so that `total` may be any number. Of
    Python's generator it uses `random` alone, whose sequence is the same in all versions.
    """
    draw, moved, drawn = random.Random(seed).random, dict[int, int](), list[int]()
    for n in range(min(count, total)):
        other = n + int(draw() * (total - n))
        drawn.append(moved.get(other, other))
        moved[other] = moved.get(n, n)
    return sorted(drawn)
