"""The map (compute) and reduce operators that an Einsum may choose."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]


def _take(*operands: Values) -> Values:
    """TeAAL's take: the operand that the last one numbers, where all the others are non-zero, and 0 elsewhere."""
    *values, which = np.broadcast_arrays(*operands)
    present = np.logical_and.reduce([value != 0 for value in values])
    return np.where(present, values[int(which.flat[0])], 0.0)


def _sigmoid(x: Values) -> Values:
    # exp of a negative number only: the other form overflows
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


@dataclass(frozen=True)
class Function:
    """A map operator that is called by name; `most` is None when it takes any number of operands."""

    compute: Callable[..., Values]
    least: int = 1
    most: int | None = 1


FUNCTIONS = {
    "exp": Function(np.exp),
    "exp2": Function(np.exp2),
    "log": Function(np.log),
    "log2": Function(np.log2),
    "sqrt": Function(np.sqrt),
    "rsqrt": Function(lambda x: 1 / np.sqrt(x)),
    "abs": Function(np.abs),
    "floor": Function(np.floor),
    "tanh": Function(np.tanh),
    "relu": Function(lambda x: np.maximum(x, 0)),
    "sigmoid": Function(_sigmoid),
    "logsigmoid": Function(lambda x: -np.logaddexp(0, -x)),
    "silu": Function(lambda x: x * _sigmoid(x)),
    "max": Function(lambda *x: np.maximum.reduce(np.broadcast_arrays(*x)), 2, None),
    "min": Function(lambda *x: np.minimum.reduce(np.broadcast_arrays(*x)), 2, None),
    "select": Function(np.where, 3, 3),
    "take": Function(_take, 2, None),
}

INFIX: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
}

COMPARISONS = {"<", "<=", ">", ">=", "==", "!="}


@dataclass(frozen=True)
class Reducer:
    """A reduce operator: associative, commutative, with an identity that stands for no point at all."""

    combine: Any
    identity: float


REDUCERS = {
    "sum": Reducer(np.add, 0.0),
    "prod": Reducer(np.multiply, 1.0),
    "max": Reducer(np.maximum, -inf),
    "min": Reducer(np.minimum, inf),
    "logsumexp": Reducer(np.logaddexp, -inf),
}
