"""Evaluate a cascade on real data, in float64: the meaning of the notation, made to be trusted rather than fast."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einloom.mapping.cascade.dependencies import Block, Loop, blocks
from einloom.mapping.cascade.expression import Access, Binary, Call, Expression, Name, Number, Unary, affine
from einloom.mapping.cascade.extents import rank_sizes
from einloom.mapping.cascade.model import Cascade, Einsum
from einloom.mapping.cascade.operators import FUNCTIONS, INFIX, REDUCERS, Values
from einloom.spec.errors import InputError
from einloom.spec.suggest import did_you_mean

LARGEST_SPACE = 1 << 22
"""Points of an iteration space that are evaluated at once; a larger one is cut along a rank of the output."""

Tensor = NDArray[np.float64]
Coordinates = Mapping[str, NDArray[np.int64]]


def evaluate(
    cascade: Cascade, inputs: Mapping[str, ArrayLike], sizes: Mapping[str, int] | None = None
) -> dict[str, Tensor]:
    """All tensors that the cascade writes.

    Rank sizes come from `sizes`, else from the shapes of the inputs, else from the file. An iterative rank has one
    coordinate more than its size, for the value that it starts from.
    """
    for name in inputs:
        if name not in cascade.inputs:
            raise InputError(f"{cascade.name}: {name!r} is no input{did_you_mean(name, cascade.inputs)}")
    missing = [name for name in cascade.inputs if name not in inputs]
    if missing:
        raise InputError(f"{cascade.name}: no data for the input(s) {', '.join(missing)}")
    data = {name: np.asarray(value, dtype=np.float64) for name, value in inputs.items()}
    run = _Run(cascade, data, rank_sizes(cascade, data, sizes or {}))
    with np.errstate(all="ignore"):  # infinities, and what becomes of them, are values here and no accidents
        for block in blocks(cascade):
            run.block(block, {})
    return {einsum.tensor: run.tensors[einsum.tensor] for einsum in cascade.einsums}


class _Run:
    """The tensors of one evaluation; elements that nothing has written yet are NaN."""

    def __init__(self, cascade: Cascade, data: Mapping[str, Tensor], sizes: Mapping[str, int]) -> None:
        self.name, self.sizes = cascade.name, sizes
        self.tensors = dict(data)
        for tensor in dict.fromkeys(einsum.tensor for einsum in cascade.einsums):
            outputs = [einsum.output.indices for einsum in cascade.writers(tensor)]
            shape = [max(map(self._extent, indices)) for indices in zip(*outputs, strict=True)]
            self.tensors[tensor] = np.full(shape, np.nan)

    def _extent(self, index: Expression) -> int:
        """One more than the largest coordinate that an output's index reaches."""
        form = affine(index)
        assert form is not None
        last = sum(self.sizes[name.upper()] - 1 for name in form.factors)
        return last + form.constant.evaluate(self.sizes) + 1

    def block(self, block: Block, fixed: Mapping[str, int]) -> None:
        """Evaluate an Einsum, or a loop, at the coordinates that are fixed by the loops around it."""
        if not isinstance(block, Loop):
            self.einsum(block, fixed)
            return
        for coordinate in range(self.sizes[block.variable.upper()])[:: block.direction]:
            for inner in block.body:
                self.block(inner, {**fixed, block.variable: coordinate})

    def einsum(self, einsum: Einsum, fixed: Mapping[str, int]) -> None:
        """Evaluate an Einsum over its whole space but for the variables that are fixed."""
        free = [name for name in einsum.kept if name not in fixed]
        order = free + einsum.reduced
        if free and prod(self.sizes[name.upper()] for name in order) > LARGEST_SPACE:
            for coordinate in range(self.sizes[free[0].upper()]):
                self.einsum(einsum, {**fixed, free[0]: coordinate})
            return
        point = _Point(self, einsum, order, fixed)
        where = tuple(point.index(index) for index in einsum.output.indices)
        self.tensors[einsum.tensor][where] = point.result(len(free))


class _Point:
    """The iteration space of an Einsum as open axes, one per variable in `order`."""

    def __init__(self, run: _Run, einsum: Einsum, order: Sequence[str], fixed: Mapping[str, int]) -> None:
        self.run, self.einsum, self.order = run, einsum, list(order)
        self.shape = tuple(run.sizes[name.upper()] for name in order)
        axes = np.ogrid[tuple(slice(size) for size in self.shape)] if order else []
        self.at: dict[str, NDArray[np.int64]] = {name: np.asarray(value) for name, value in fixed.items()}
        self.at |= dict(zip(order, axes, strict=True))
        self.mask: Values = np.asarray(True)

    def result(self, kept: int) -> Tensor:
        """The output's elements, one axis per kept variable."""
        einsum = self.einsum
        if einsum.condition is not None:
            self.mask = np.asarray(self.value(einsum.condition)).astype(bool)
        reducer = REDUCERS[einsum.reductions[-1].operator] if einsum.reductions else None
        nothing = reducer.identity if reducer else 0.0
        points = np.where(self.mask, self.value(einsum.value), nothing)
        values = np.broadcast_to(points, np.broadcast_shapes(points.shape, self.shape))
        for reduction in reversed(einsum.reductions):
            axes = sorted((self.order.index(name) for name in reduction.variables), reverse=True)
            for axis in axes:
                values = REDUCERS[reduction.operator].combine.reduce(values, axis=axis, keepdims=True)
        if einsum.otherwise is not None:
            values = np.where(self.mask, values, self.value(einsum.otherwise))
        return values.reshape(self.shape[:kept]).astype(np.float64)

    def index(self, expression: Expression) -> NDArray[np.int64]:
        """The coordinates of an output's index, without the axes that are reduced."""
        values = np.asarray(self.value(expression), dtype=np.int64)
        reduced = sum(name in self.order for name in self.einsum.reduced)
        return values.reshape(values.shape[: values.ndim - reduced]) if values.ndim else values

    def value(self, expression: Expression) -> Values:
        """An expression at every point."""
        match expression:
            case Number(value):
                return np.asarray(int(value) if float(value).is_integer() else value)
            case Name(name):
                return self.at[name] if expression.is_variable else np.asarray(self.run.sizes[name])
            case Access():
                return self._read(expression)
            case Call(function, arguments):
                return FUNCTIONS[function].compute(*map(self.value, arguments))
            case Unary(operator, operand):
                inner = self.value(operand)
                return np.logical_not(inner) if operator == "not" else np.negative(inner)
            case Binary(operator, left, right):
                return np.asarray(INFIX[operator](self._operand(left, operator), self.value(right)))

    def _operand(self, expression: Expression, operator: str) -> Values:
        # NumPy refuses an integer to a negative power, which is a fraction.
        value = self.value(expression)
        return value.astype(np.float64) if operator == "**" else value

    def _read(self, access: Access) -> Values:
        tensor = self.run.tensors[access.tensor]
        coordinates = []
        for position, (index, extent) in enumerate(zip(access.indices, tensor.shape, strict=True)):
            values = np.asarray(self.value(index), dtype=np.int64)
            outside = ((values < 0) | (values >= extent)) & self.mask
            if outside.any():
                raise InputError(
                    f"{self.run.name}: {self.einsum} reads {access} outside of its {extent} coordinates in index "
                    f"{position + 1}: restrict it with 'where'"
                )
            coordinates.append(np.clip(values, 0, extent - 1))
        return np.asarray(tensor[tuple(coordinates)])
