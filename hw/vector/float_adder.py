"""The sum of two floats."""

from amaranth import Cat, Const, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import registered
from einloom.hw.part import Part
from einloom.hw.vector import float32 as f32
from einloom.hw.vector.float32 import Fields, finish, leading_zeros, rounds_up, shifted_right_sticky, sum_or_difference
from einloom.spec.isa import REDUCE_PARTIALS

GUARD_BITS = 3  # below the larger operand: two that normalising may bring back, and the OR of all below them
ALIGNED_BITS = f32.SIGNIFICAND_BITS + GUARD_BITS
SUM_BITS = ALIGNED_BITS + 1
LATENCY = 5
assert LATENCY <= REDUCE_PARTIALS


class FloatAdder(Part):
    """x + y in float32, to nearest even. Throughput: a sum every cycle. Latency: LATENCY cycles.

    Subnormal operands are zeros. A subnormal sum, which is exact, becomes the zero of its sign. x - x is +0. NaN is
    always 0x7fc00000. Stages: compare; align the smaller operand; add; normalise; round.

    Members
    -------
    x, y : In
    sum : Out
    """

    def __init__(self):
        super().__init__({"x": In(f32.BITS), "y": In(f32.BITS), "sum": Out(f32.BITS)})

    def build(self, m, platform):
        large, aligned, subtract, nan_2 = self._align(m)

        # Stage 3: the sum is never negative, because `aligned` is the smaller operand.
        augend = Mux(large.is_zero, 0, Cat(Const(0, GUARD_BITS), large.significand))
        total = registered(m, "total", sum_or_difference(augend, aligned, subtract, SUM_BITS), SUM_BITS)
        exponent_3 = registered(m, "exponent_3", large.exponent)
        sign_3 = registered(m, "sign_3", large.sign)
        subtract_3 = registered(m, "subtract_3", subtract)
        nan_3 = registered(m, "nan_3", nan_2)

        # Stage 4: the leading one to the top, where it counts for twice the exponent's value.
        zeros = leading_zeros(m, total, "zeros")
        normalised = registered(m, "normalised", total << zeros, SUM_BITS)
        exponent_4 = registered(m, "exponent_4", exponent_3 + 1 - zeros, signed(f32.EXPONENT_BITS + 2))
        sign_4 = registered(m, "sign_4", sign_3 & (total.any() | ~subtract_3))
        nan_4 = registered(m, "nan_4", nan_3)
        infinite_4 = registered(m, "infinite_4", exponent_3 == f32.EXPONENT_MAX)

        # Stage 5. A fraction of ones that is rounded up carries into the exponent, as it must.
        significand, below = normalised[-f32.SIGNIFICAND_BITS :], normalised[: -f32.SIGNIFICAND_BITS]
        rounded = Signal(f32.FRACTION_BITS + len(exponent_4))
        m.d.comb += rounded.eq(Cat(significand[:-1], exponent_4) + rounds_up(significand, below))
        infinite = infinite_4 | (rounded[f32.FRACTION_BITS :].as_signed() >= f32.EXPONENT_MAX)
        zero = ~normalised[-1] | (exponent_4 < 1)
        m.d.comb += self.sum.eq(finish(m, "sum_5", nan_4, infinite, zero, sign_4, rounded[: f32.MAGNITUDE_BITS]))

    def _align(self, m):
        """Stages 1 and 2: (fields of the larger operand, the smaller one aligned with it, subtract, nan)."""
        x, y = Fields(self.x), Fields(self.y)
        x_1, y_1 = registered(m, "x_1", self.x), registered(m, "y_1", self.y)
        swap = registered(m, "swap", x.magnitude < y.magnitude)  # in any order if subnormal: they are all zero
        opposite = x.is_infinite & y.is_infinite & (x.sign ^ y.sign)
        nan_1 = registered(m, "nan_1", x.is_nan | y.is_nan | opposite)
        x_above = registered(m, "x_above", x.exponent - y.exponent, signed(f32.EXPONENT_BITS + 1))
        y_above = registered(m, "y_above", y.exponent - x.exponent, signed(f32.EXPONENT_BITS + 1))

        small = Fields(Mux(swap, x_1, y_1))
        distance = Mux(swap, y_above, x_above)[: f32.EXPONENT_BITS]
        # From ALIGNED_BITS on, only the sticky bit is left; 31 shifts everything there.
        reach = ALIGNED_BITS.bit_length()
        shift = Mux(distance[reach:].any(), (1 << reach) - 1, distance[:reach])
        addend = Cat(Const(0, GUARD_BITS), small.significand)
        large = registered(m, "large", Mux(swap, y_1, x_1))
        aligned = Mux(small.is_zero, 0, shifted_right_sticky(m, addend, shift, "shifted"))
        return (
            Fields(large),
            registered(m, "aligned", aligned, ALIGNED_BITS),
            registered(m, "subtract", x_1[-1] ^ y_1[-1]),
            registered(m, "nan_2", nan_1),
        )
