"""What rows, columns and engines need to know of a processing element."""

from typing import Protocol

from amaranth import Shape

from einloom.hw.part import Part
from einloom.hw.pe.timing import Timing
from einloom.spec.formats import Format
from einloom.spec.manifest import LookupLayout


class PeSpec(Protocol):
    """Size of a PE and the widths that follow; the arrays are generic in it.

    Attributes
    ----------
    lanes : inputs multiplied at once.
    activation_bits : of one activation, int8 or fp16.
    operand_bits : of what a column sends down each cycle.
    value_bits, exponent_bits, exponent_bias : of a sum, as in einloom.manifest.SumLayout.
    sum_bits : value and exponent together.
    timing : when the PE wants its control signals.
    lookup : the look-up tables of PEs that have some.
    """

    @property
    def lanes(self) -> int: ...
    @property
    def activation_bits(self) -> int: ...
    @property
    def operand_bits(self) -> int: ...
    @property
    def value_bits(self) -> int: ...
    @property
    def exponent_bits(self) -> int: ...
    @property
    def exponent_bias(self) -> int: ...
    @property
    def sum_bits(self) -> int: ...
    @property
    def timing(self) -> Timing: ...
    @property
    def lookup(self) -> LookupLayout | None: ...
    def shifts(self, format: Format) -> tuple[int, ...]:
        """`control.bsig` in each of the cycles that a step of `format` takes."""

    def part(self) -> Part:
        """The PE itself."""

    def column(self, formats: tuple[Format, ...]) -> Part:
        """What makes operands of a column's codes; `hw/pe/column.py` says which ports it may have."""

    def row(self) -> Part | None:
        """What a row makes of its `activations` once for all its PEs, `shared`; None if they take them as they are.

        It may have a port `control`.
        """

    def prepare(self) -> Part | None:
        """What becomes of a step's `activations` before they are stored for the rows, `shared`, a cycle later; None if
        they are stored as they are."""


def stored_bits(spec: PeSpec) -> int:
    """Of a token's step as it is stored for the array."""
    part = spec.prepare()
    if part is None:
        return spec.lanes * spec.activation_bits
    part._MustUse__used = True  # only asked for its width
    return Shape.cast(part.signature.members["shared"].shape).width
