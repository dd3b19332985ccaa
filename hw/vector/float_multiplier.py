"""The product of two floats."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.vector.float32 import (
    BITS,
    EXPONENT_BIAS,
    EXPONENT_BITS,
    EXPONENT_MAX,
    FRACTION_BITS,
    INFINITY,
    MAGNITUDE_BITS,
    NAN,
    SIGNIFICAND_BITS,
    Fields,
    rounds_up,
)

PRODUCT_BITS = 2 * SIGNIFICAND_BITS
SUM_BITS = EXPONENT_BITS + 2  # of two exponents less the bias, with its sign
LATENCY = 4


class FloatMultiplier(Part):
    """x * y in float32, to nearest even; a product every cycle, LATENCY cycles after its operands.

    Subnormal operands are zeros; a product whose exact value is below the smallest normal number is the zero of its
    sign. NaN is always 0x7fc00000. The 24 x 24 bit product of the significands has two registers behind it, those of
    two DSP48E2; the caller registers the operands, which are the registers in front.

    Members
    -------
    x, y : In
    negate : In(1), two cycles after x and y: the product's sign is inverted
    product : Out
    """

    def __init__(self):
        super().__init__({"x": In(BITS), "y": In(BITS), "negate": In(1), "product": Out(BITS)})

    def elaborate(self, platform):
        m = Module()
        x, y = Fields(self.x), Fields(self.y)
        # Stages 1 and 2: the exact product and the sum of the exponents.
        exact_1 = Signal(PRODUCT_BITS, reset_less=True)
        exact_2 = Signal(PRODUCT_BITS, reset_less=True)
        exponents = Signal(EXPONENT_BITS + 1, reset_less=True)
        exponent_2 = Signal(signed(SUM_BITS), reset_less=True)
        m.d.sync += [
            exact_1.eq(x.significand * y.significand),
            exact_2.eq(exact_1),
            exponents.eq(x.exponent + y.exponent),
            exponent_2.eq(exponents - EXPONENT_BIAS),
        ]
        nan, infinite, zero, sign = self._special_cases(m, x, y)

        # Stage 3: the leading one is bit 47 or 46; the bits below the 24 that stay decide about rounding.
        large = exact_2[-1]
        exponent_3 = Signal(signed(SUM_BITS), reset_less=True)
        fraction = Signal(FRACTION_BITS, reset_less=True)
        increment = Signal(reset_less=True)
        upper, lower = exact_2[SIGNIFICAND_BITS:], exact_2[SIGNIFICAND_BITS - 1 : -1]
        m.d.sync += [
            exponent_3.eq(exponent_2 + large),
            fraction.eq(Mux(large, upper, lower)),
            increment.eq(
                Mux(
                    large,
                    rounds_up(upper, exact_2[:SIGNIFICAND_BITS]),
                    rounds_up(lower, exact_2[: SIGNIFICAND_BITS - 1]),
                )
            ),
        ]

        # Stage 4: a fraction of ones that is rounded up carries into the exponent, as it must.
        product = Signal(BITS, reset_less=True)
        rounded = Signal(FRACTION_BITS + SUM_BITS)
        exponent = rounded[FRACTION_BITS:].as_signed()
        m.d.comb += [rounded.eq(Cat(fraction, exponent_3) + increment), self.product.eq(product)]
        with m.If(nan):
            m.d.sync += product.eq(NAN)
        with m.Elif(infinite | (~zero & (exponent >= EXPONENT_MAX))):
            m.d.sync += product.eq(Cat(Const(INFINITY, MAGNITUDE_BITS), sign))
        with m.Elif(zero | (exponent_3 < 1)):
            m.d.sync += product.eq(Cat(Const(0, MAGNITUDE_BITS), sign))
        with m.Else():
            m.d.sync += product.eq(Cat(rounded[:MAGNITUDE_BITS], sign))
        return m

    def _special_cases(self, m, x, y):
        """(nan, infinite, zero, sign) of the product, for stage 4."""
        infinite = x.is_infinite | y.is_infinite
        zero = x.is_zero | y.is_zero
        cases = Cat(x.is_nan | y.is_nan | (infinite & zero), infinite, zero, x.sign ^ y.sign)
        cases_1 = Signal(len(cases), reset_less=True)
        cases_2 = Signal(len(cases), reset_less=True)
        cases_3 = Signal(len(cases), reset_less=True)
        m.d.sync += [
            cases_1.eq(cases),
            cases_2.eq(cases_1),
            cases_3.eq(Cat(cases_2[:-1], cases_2[-1] ^ self.negate)),
        ]
        return tuple(cases_3)
