"""Two products in one DSP: widths of their fields, from the range of the weights.

A DSP multiplies `upper * 2^shift - lower` by an activation. So the sum of K such products is
    P = 2^shift * (sum of upper products) - (sum of lower products)
and exactly so, modulo 2^48, as long as the pre-adder's 27 bits hold the operand. With 2^(shift - 1) added, the bits
below `shift` are between 0 and 2^shift - 1 if -2^(shift - 1) <= -(sum of lower products) < 2^(shift - 1). Then
the bits above are the upper sum, without a carry to correct. The lower weight is subtracted because two's complement
has one more negative number, and the sum that reaches a power of two, 8 times -128 * -128, is positive.
"""

from dataclasses import dataclass

from einloom.hw.arith.dsp48e2 import A_BITS, P_BITS
from einloom.hw.arith.widths import INT8_LIMIT
from einloom.spec.formats import Format


@dataclass(frozen=True)
class PairPacking:
    """Packing of weights between `lowest` and `highest`, which are multiplied by int8 activations."""

    lowest: int
    highest: int

    @classmethod
    def of(cls, formats: tuple[Format, ...]) -> "PairPacking":
        """The packing that takes each of `formats`, with any special values that terms can express."""
        values = [value for f in formats for value in f.table]
        values += [s * f.max_magnitude for f in formats if f.special_code is not None for s in (-1, 1)]
        return cls(min(values), max(values))

    @property
    def value_bits(self) -> int:
        """Width of a weight in two's complement."""
        return two_complement_bits(self.lowest, self.highest)

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
        corners = [w * a for w in (self.lowest, self.highest) for a in (-INT8_LIMIT, INT8_LIMIT - 1)]
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


def two_complement_bits(smallest: int, largest: int) -> int:
    """Width of a two's complement number that holds both."""
    return max((-smallest - 1).bit_length() if smallest < 0 else 0, largest.bit_length() if largest > 0 else 0) + 1
