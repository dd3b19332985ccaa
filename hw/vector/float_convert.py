"""Between float32 and integers."""

from amaranth import Cat, Const, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import registered
from einloom.hw.part import Part
from einloom.hw.vector import float32 as f32
from einloom.hw.vector.float32 import Fields, leading_zeros, rounds_up, shifted_right_sticky

TO_INTEGER_LATENCY = 2
TO_FLOAT_LATENCY = 4
BELOW_BITS = 2  # bits below the units: the half, and the OR of all smaller ones


class FloatToInteger(Part):
    """Rounds a float to nearest even as a signed integer, saturated; NaN is 0.

    Throughput: one every cycle. Latency: TO_INTEGER_LATENCY cycles.

    Parameters
    ----------
    widths : bits of the integers that `select` chooses from.

    Members
    -------
    value : In, float32
    select : In, index of the integer's width, one cycle after the value
    result : Out(signed(widest)), the sign extended
    """

    def __init__(self, widths: tuple[int, ...]):
        select = In(range(max(len(widths), 2)))
        super().__init__({"value": In(f32.BITS), "select": select, "result": Out(signed(max(widths)))})

    def build(self, m, platform):
        widest = max(self.widths)
        value = Fields(self.value)

        # Stage 1: the significand begins with its leading one worth 2^(widest - 1), and is shifted down from there.
        fixed_bits = max(widest, f32.SIGNIFICAND_BITS) + BELOW_BITS
        reach = (fixed_bits - 1).bit_length()
        distance = Signal(signed(f32.EXPONENT_BITS + 1))
        m.d.comb += distance.eq(f32.EXPONENT_BIAS + widest - 1 - value.exponent)
        # The units are above BELOW_BITS; a significand longer than the integer goes further down.
        fixed = Cat(Const(0, fixed_bits - f32.SIGNIFICAND_BITS), value.significand)
        # From further away only the sticky bit is left. That is found beside the shift, not before it.
        far = distance[reach:].any()
        shifted = shifted_right_sticky(m, fixed, distance[:reach], "shifted")
        aligned = registered(m, "aligned", Mux(far, 1, shifted), fixed_bits)
        negative = registered(m, "negative", value.sign)
        nan = registered(m, "nan", value.is_nan)
        huge = registered(m, "huge", distance <= 0)  # at least 2^(widest - 1)

        # Stage 2: one adder rounds and negates: -(x + r) = ~x + (1 - r).
        below_bits = fixed_bits - widest
        units, below = aligned[below_bits:], aligned[:below_bits]
        result = Signal(signed(widest), reset_less=True)
        total = Signal(signed(widest + 1))
        complemented = Cat(units, Const(0, 1)) ^ negative.replicate(widest + 1)
        m.d.comb += [self.result.eq(result), total.eq(complemented + (rounds_up(units, below) ^ negative))]
        with m.If(nan):
            m.d.sync += result.eq(0)
        with m.Else():
            with m.Switch(self.select):
                for index, width in enumerate(self.widths):
                    with m.Case(index):
                        limit = Cat((~negative).replicate(width - 1), negative)  # the largest, or the lowest
                        beyond = total[width - 1 :]
                        fits = ~huge & (beyond.all() | ~beyond.any())
                        m.d.sync += result.eq(Mux(fits, total[:width], limit).as_signed())


class IntegerToFloat(Part):
    """Rounds a signed integer to the nearest float32, ties to even.

    Throughput: one every cycle. Latency: TO_FLOAT_LATENCY cycles. Stages: magnitude; leading zeros; normalise; round.

    Parameters
    ----------
    bits : of the integer, up to EXPONENT_BIAS.

    Members
    -------
    value : In(signed(bits))
    result : Out, float32
    """

    def __init__(self, bits: int):
        super().__init__({"value": In(signed(bits)), "result": Out(f32.BITS)})

    def build(self, m, platform):
        # At least two bits below the significand, so that rounding has something to look at.
        bits = max(self.bits, f32.SIGNIFICAND_BITS + BELOW_BITS)
        sign = Signal(3, reset_less=True)
        m.d.sync += sign.eq(Cat(self.value < 0, sign))
        magnitude = registered(m, "magnitude", Mux(self.value < 0, -self.value, self.value), bits)
        magnitude_2 = registered(m, "magnitude_2", magnitude)
        zeros = registered(m, "zeros_2", leading_zeros(m, magnitude, "zeros"))
        normalised = registered(m, "normalised", magnitude_2 << zeros, bits)
        exponent = registered(m, "exponent", f32.EXPONENT_BIAS + bits - 1 - zeros, f32.EXPONENT_BITS)

        # A fraction of ones that is rounded up carries into the exponent, as it must.
        significand, below = normalised[-f32.SIGNIFICAND_BITS :], normalised[: -f32.SIGNIFICAND_BITS]
        rounded = (Cat(significand[: f32.FRACTION_BITS], exponent) + rounds_up(significand, below))[: f32.BITS - 1]
        result = registered(m, "result_4", Mux(normalised[-1], Cat(rounded, sign[-1]), 0), f32.BITS)
        m.d.comb += self.result.eq(result)
