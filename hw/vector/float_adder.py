"""The sum of two floats."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.vector.float32 import (
    BITS,
    EXPONENT_BITS,
    EXPONENT_MAX,
    FRACTION_BITS,
    INFINITY,
    MAGNITUDE_BITS,
    NAN,
    SIGNIFICAND_BITS,
    Fields,
    leading_zeros,
    rounds_up,
    shifted_right_sticky,
    sum_or_difference,
)
from einloom.spec.isa import REDUCE_PARTIALS

GUARD_BITS = 3  # below the larger operand: two that normalising may bring back, and all below them as one
ALIGNED_BITS = SIGNIFICAND_BITS + GUARD_BITS
SUM_BITS = ALIGNED_BITS + 1
LATENCY = 5
assert LATENCY <= REDUCE_PARTIALS


class FloatAdder(Part):
    """x + y in float32, to nearest even; a sum every cycle, LATENCY cycles after its operands.

    Subnormal operands are zeros, and a subnormal sum (which is exact) becomes the zero of its sign; x - x is +0. NaN
    is always 0x7fc00000. Stages: compare; align the smaller operand; add; normalise; round.

    Members
    -------
    x, y : In
    sum : Out
    """

    def __init__(self):
        super().__init__({"x": In(BITS), "y": In(BITS), "sum": Out(BITS)})

    def elaborate(self, platform):
        m = Module()
        large, aligned, subtract, nan_2 = self._align(m)

        # Stage 3: never negative, for `aligned` is the smaller one.
        total = Signal(SUM_BITS, reset_less=True)
        exponent_3 = Signal(EXPONENT_BITS, reset_less=True)
        sign_3 = Signal(reset_less=True)
        subtract_3 = Signal(reset_less=True)
        nan_3 = Signal(reset_less=True)
        augend = Mux(large.is_zero, 0, Cat(Const(0, GUARD_BITS), large.significand))
        m.d.sync += [
            total.eq(sum_or_difference(augend, aligned, subtract, SUM_BITS)),
            exponent_3.eq(large.exponent),
            sign_3.eq(large.sign),
            subtract_3.eq(subtract),
            nan_3.eq(nan_2),
        ]

        # Stage 4: the leading one to the top, where it counts for twice the exponent's value.
        zeros = leading_zeros(m, total, "zeros")
        normalised = Signal(SUM_BITS, reset_less=True)
        exponent_4 = Signal(signed(EXPONENT_BITS + 2), reset_less=True)
        sign_4 = Signal(reset_less=True)
        nan_4 = Signal(reset_less=True)
        infinite_4 = Signal(reset_less=True)
        m.d.sync += [
            normalised.eq(total << zeros),
            exponent_4.eq(exponent_3 + 1 - zeros),
            sign_4.eq(sign_3 & (total.any() | ~subtract_3)),
            nan_4.eq(nan_3),
            infinite_4.eq(exponent_3 == EXPONENT_MAX),
        ]
        self._round(m, normalised, exponent_4, sign_4, nan_4, infinite_4)
        return m

    def _align(self, m):
        """Stages 1 and 2: (fields of the larger operand, the smaller one aligned with it, subtract, nan)."""
        x, y = Fields(self.x), Fields(self.y)
        x_1 = Signal(BITS, reset_less=True)
        y_1 = Signal(BITS, reset_less=True)
        swap = Signal(reset_less=True)
        nan_1 = Signal(reset_less=True)
        x_above = Signal(signed(EXPONENT_BITS + 1), reset_less=True)
        y_above = Signal(signed(EXPONENT_BITS + 1), reset_less=True)
        m.d.sync += [
            x_1.eq(self.x),
            y_1.eq(self.y),
            swap.eq(x.magnitude < y.magnitude),  # subnormals may compare as they like: they are all zero
            nan_1.eq(x.is_nan | y.is_nan | (x.is_infinite & y.is_infinite & (x.sign ^ y.sign))),
            x_above.eq(x.exponent - y.exponent),
            y_above.eq(y.exponent - x.exponent),
        ]

        large = Signal(BITS, reset_less=True)
        aligned = Signal(ALIGNED_BITS, reset_less=True)
        subtract = Signal(reset_less=True)
        nan_2 = Signal(reset_less=True)
        small = Fields(Mux(swap, x_1, y_1))
        distance = Mux(swap, y_above, x_above)[:EXPONENT_BITS]
        # From ALIGNED_BITS on, only the sticky bit is left; 31 shifts everything there.
        reach = ALIGNED_BITS.bit_length()
        shift = Mux(distance[reach:].any(), (1 << reach) - 1, distance[:reach])
        addend = Cat(Const(0, GUARD_BITS), small.significand)
        m.d.sync += [
            large.eq(Mux(swap, y_1, x_1)),
            aligned.eq(Mux(small.is_zero, 0, shifted_right_sticky(addend, shift))),
            subtract.eq(x_1[-1] ^ y_1[-1]),
            nan_2.eq(nan_1),
        ]
        return Fields(large), aligned, subtract, nan_2

    def _round(self, m, normalised, exponent, sign, nan, infinite):
        """Stage 5. A fraction of ones that is rounded up carries into the exponent, as it must."""
        significand = normalised[SUM_BITS - SIGNIFICAND_BITS :]
        below = normalised[: SUM_BITS - SIGNIFICAND_BITS]
        total = Signal(BITS, reset_less=True)
        rounded = Signal(FRACTION_BITS + len(exponent))
        m.d.comb += [
            rounded.eq(Cat(significand[:-1], exponent) + rounds_up(significand, below)),
            self.sum.eq(total),
        ]
        with m.If(nan):
            m.d.sync += total.eq(NAN)
        with m.Elif(infinite | (rounded[FRACTION_BITS:].as_signed() >= EXPONENT_MAX)):
            m.d.sync += total.eq(Cat(Const(INFINITY, MAGNITUDE_BITS), sign))
        with m.Elif(~normalised[-1] | (exponent < 1)):
            m.d.sync += total.eq(Cat(Const(0, MAGNITUDE_BITS), sign))
        with m.Else():
            m.d.sync += total.eq(Cat(rounded[:MAGNITUDE_BITS], sign))
