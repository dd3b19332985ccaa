"""Two or three products in one DSP: widths of their fields, from the ranges of the operands.

Weights share an activation, or the activations of two tokens share a weight. Of F operands x[0] to x[F - 1] a DSP
multiplies
    x[F - 1] * 2^((F - 1) shift) - (x[0] + x[1] * 2^shift + ...)
by what they share. So the sum of K such products is
    P = S[F - 1] * 2^((F - 1) shift) - (S[0] + S[1] * 2^shift + ...)
of the sums S of each operand's products, and exactly so, modulo 2^48, as long as the pre-adder's 27 bits hold the
operand. 2^(n - 1) is added to each field below the top. Then such a field is between 0 and 2^n - 1 if
-2^(n - 1) <= -S < 2^(n - 1). For n <= shift nothing is carried from a field to the next, and none needs a correction.
The lower sums are subtracted because two's complement has one more negative number, and the sum that reaches a power
of two, 8 times -128 * -128, is positive.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from einloom.hw.arith.dsp48e2 import A_BITS, P_BITS
from einloom.hw.arith.widths import INT8_LIMIT
from einloom.spec.formats import Format

ACTIVATIONS = (-INT8_LIMIT, INT8_LIMIT - 1)


@dataclass(frozen=True)
class FieldPacking:
    """Packing of `fields` operands from `lowest` to `highest`, which are multiplied by one in the range `shared`."""

    lowest: int
    highest: int
    fields: int = 2
    shared: tuple[int, int] = ACTIVATIONS

    @classmethod
    def of_weights(cls, formats: Iterable[Format], fields: int = 2) -> "FieldPacking":
        """The packing of so many weights of each of `formats`, with any special values that terms can express."""
        return cls(*weight_range(formats), fields)

    @classmethod
    def of_tokens(cls, formats: Iterable[Format]) -> "FieldPacking":
        """The packing of two activations that share a weight."""
        return cls(*ACTIVATIONS, shared=weight_range(formats))

    @property
    def shift(self) -> int:
        """Distance of the fields: the largest with which the pre-adder's result doesn't overflow."""
        return _largest_shift(self.lowest, self.highest, self.fields)

    @property
    def top(self) -> int:
        """Lowest bit of the topmost field."""
        return (self.fields - 1) * self.shift

    def extremes(self, products: int) -> tuple[int, int]:
        """The smallest and the largest sum of so many products."""
        corners = [w * a for w in (self.lowest, self.highest) for a in self.shared]
        return products * min(corners), products * max(corners)

    def upper_bits(self, products: int) -> int:
        """Width of a sum of the topmost field's products."""
        return two_complement_bits(*self.extremes(products))

    def lower_bits(self, products: int) -> int:
        """Width of a negated sum of another field's products."""
        smallest, largest = self.extremes(products)
        return two_complement_bits(-largest, -smallest)

    def bias(self, products: int) -> int:
        """What is added to so many products, half of its range to each field below the topmost one."""
        return sum(1 << n * self.shift + self.lower_bits(products) - 1 for n in range(self.fields - 1))

    def holds(self, products: int) -> bool:
        """Whether all fields hold every sum of so many products."""
        return self.lower_bits(products) <= self.shift and self.top + self.upper_bits(products) <= P_BITS

    @property
    def held(self) -> int:
        """The most products, of powers of two, whose sums the fields hold; 0 if they don't hold one."""
        products = 0
        while self.holds(2 * products or 1):
            products = 2 * products or 1
        return products


def weight_range(formats: Iterable[Format]) -> tuple[int, int]:
    """The smallest and the largest weight of any of `formats`, with any special values that terms can express."""
    formats = tuple(formats)
    values = [value for f in formats for value in f.table]
    values += [s * f.max_magnitude for f in formats if f.special_code is not None for s in (-1, 1)]
    return min(values), max(values)


def two_complement_bits(smallest: int, largest: int) -> int:
    """Width of a two's complement number that holds both."""
    return max((-smallest - 1).bit_length() if smallest < 0 else 0, largest.bit_length() if largest > 0 else 0) + 1


@cache
def _largest_shift(lowest: int, highest: int, fields: int) -> int:
    limit = 1 << (A_BITS - 1)

    def fits(shift: int) -> bool:
        top, below = shift * (fields - 1), sum(1 << n * shift for n in range(fields - 1))
        largest, smallest = highest << top, lowest << top
        return largest - below * lowest < limit and smallest - below * highest >= -limit

    return max(s for s in range(A_BITS) if fits(s))
