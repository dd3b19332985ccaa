"""The product of two floats."""

from amaranth import Cat, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed, registered
from einloom.hw.part import Part
from einloom.hw.vector import float32 as f32
from einloom.hw.vector.float32 import Fields, finish, rounds_up

PRODUCT_BITS = 2 * f32.SIGNIFICAND_BITS
SUM_BITS = f32.EXPONENT_BITS + 2  # of two exponents less the bias, with its sign
LATENCY = 4


class FloatMultiplier(Part):
    """x * y in float32, to nearest even. Throughput: a product every cycle. Latency: LATENCY cycles.

    Subnormal operands are zeros. A product whose exact value is below the smallest normal number is the zero of its
    sign. NaN is always 0x7fc00000. Two registers follow the 24 x 24 bit product of the significands, those of two
    DSP48E2; the caller registers the operands, which are the registers in front.

    Members
    -------
    x, y : In
    negate : In(1), two cycles after x and y: the product's sign is inverted
    product : Out
    """

    def __init__(self):
        super().__init__({"x": In(f32.BITS), "y": In(f32.BITS), "negate": In(1), "product": Out(f32.BITS)})

    def build(self, m, platform):
        x, y = Fields(self.x), Fields(self.y)
        # Stages 1 and 2: the exact product and the sum of the exponents.
        exact_1 = registered(m, "exact_1", x.significand * y.significand, PRODUCT_BITS)
        exact_2 = registered(m, "exact_2", exact_1)
        exponents = registered(m, "exponents", x.exponent + y.exponent, f32.EXPONENT_BITS + 1)
        exponent_2 = registered(m, "exponent_2", exponents - f32.EXPONENT_BIAS, signed(SUM_BITS))
        nan, infinite, zero, sign = self._special_cases(m, x, y)

        # Stage 3: the leading one is bit 47 or 46; the bits below the 24 that stay decide about rounding.
        large = exact_2[-1]
        upper, lower = exact_2[f32.SIGNIFICAND_BITS :], exact_2[f32.SIGNIFICAND_BITS - 1 : -1]
        up_if_large = rounds_up(upper, exact_2[: f32.SIGNIFICAND_BITS])
        up_if_small = rounds_up(lower, exact_2[: f32.SIGNIFICAND_BITS - 1])
        exponent_3 = registered(m, "exponent_3", exponent_2 + large, signed(SUM_BITS))
        fraction = registered(m, "fraction", Mux(large, upper, lower), f32.FRACTION_BITS)
        increment = registered(m, "increment", Mux(large, up_if_large, up_if_small))

        # Stage 4: a fraction of ones that is rounded up carries into the exponent, as it must.
        rounded = Signal(f32.FRACTION_BITS + SUM_BITS)
        exponent = rounded[f32.FRACTION_BITS :].as_signed()
        m.d.comb += rounded.eq(Cat(fraction, exponent_3) + increment)
        infinite |= ~zero & (exponent >= f32.EXPONENT_MAX)
        zero |= exponent_3 < 1
        m.d.comb += self.product.eq(finish(m, "product_4", nan, infinite, zero, sign, rounded[: f32.MAGNITUDE_BITS]))

    def _special_cases(self, m, x, y):
        """(nan, infinite, zero, sign) of the product, for stage 4."""
        infinite = x.is_infinite | y.is_infinite
        zero = x.is_zero | y.is_zero
        cases = delayed(m, "cases", Cat(x.is_nan | y.is_nan | (infinite & zero), infinite, zero, x.sign ^ y.sign), 2)
        return tuple(registered(m, "cases_2", Cat(cases[:-1], cases[-1] ^ self.negate)))
