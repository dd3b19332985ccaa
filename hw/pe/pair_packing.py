"""Two products in one DSP: widths of their fields, from the ranges of the operands.

Two weights share an activation, or the activations of two tokens share a weight. A DSP multiplies
`upper * 2^shift - lower` by what they share. So the sum of K such products is
    P = 2^shift * (sum of upper products) - (sum of lower products)
and exactly so, modulo 2^48, as long as the pre-adder's 27 bits hold the operand. With 2^(shift - 1) added, the bits
below `shift` are between 0 and 2^shift - 1 if -2^(shift - 1) <= -(sum of lower products) < 2^(shift - 1). Then
the bits above are the upper sum, without a carry to correct. The lower one is subtracted because two's complement
has one more negative number, and the sum that reaches a power of two, 8 times -128 * -128, is positive.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from einloom.hw.arith.dsp48e2 import A_BITS, P_BITS
from einloom.hw.arith.widths import INT8_LIMIT
from einloom.spec.formats import Format

ACTIVATIONS = (-INT8_LIMIT, INT8_LIMIT - 1)


@dataclass(frozen=True)
class PairPacking:
    """Packing of two operands between `lowest` and `highest`, which are multiplied by one in the range `shared`."""

    lowest: int
    highest: int
    shared: tuple[int, int] = ACTIVATIONS

    @classmethod
    def of(cls, formats: Iterable[Format]) -> "PairPacking":
        """The packing of two weights of each of `formats`, with any special values that terms can express."""
        return cls(*weight_range(formats))

    @classmethod
    def of_tokens(cls, formats: Iterable[Format]) -> "PairPacking":
        """The packing of two activations that share a weight."""
        return cls(*ACTIVATIONS, shared=weight_range(formats))

    @property
    def shift(self) -> int:
        """Distance of the fields: the largest with which the pre-adder's result doesn't overflow."""
        limit = 1 << (A_BITS - 1)
        return max(
            s
            for s in range(A_BITS)
            if (self.highest << s) - self.lowest < limit and (self.lowest << s) - self.highest >= -limit
        )

    def extremes(self, products: int) -> tuple[int, int]:
        """The smallest and the largest sum of so many products."""
        corners = [w * a for w in (self.lowest, self.highest) for a in self.shared]
        return products * min(corners), products * max(corners)

    def upper_bits(self, products: int) -> int:
        """Width of a sum of upper products."""
        return two_complement_bits(*self.extremes(products))

    def lower_bits(self, products: int) -> int:
        """Width of a negated sum of lower products."""
        smallest, largest = self.extremes(products)
        return two_complement_bits(-largest, -smallest)

    def holds(self, products: int) -> bool:
        """Whether both fields hold every sum of so many products."""
        return self.lower_bits(products) <= self.shift and self.shift + self.upper_bits(products) <= P_BITS

    @property
    def held(self) -> int:
        """The most products, of powers of two, whose sums the fields hold."""
        products = 1
        while self.holds(2 * products):
            products *= 2
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
