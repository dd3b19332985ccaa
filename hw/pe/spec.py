"""What rows, columns and engines need to know of a processing element."""

from typing import Protocol

from hw.part import Part
from hw.pe.timing import Timing


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
    def part(self) -> Part:
        """The PE itself."""
