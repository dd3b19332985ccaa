"""The operations of a lane that need no float multiplier or adder: integers, comparisons and conversions."""

from amaranth import Cat, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import Delays, registered
from einloom.hw.part import Part
from einloom.hw.vector.float32 import BITS, MAGNITUDE_BITS, NAN, Fields, sum_or_difference
from einloom.hw.vector.float_convert import TO_FLOAT_LATENCY, TO_INTEGER_LATENCY, FloatToInteger, IntegerToFloat
from einloom.hw.wires import choose, members
from einloom.spec.isa import VectorOp

OP_BITS = 4
COMPARED = 2  # cycles from the operands to the result of a comparison
LATENCY = 5
assert TO_INTEGER_LATENCY == COMPARED
assert LATENCY > TO_FLOAT_LATENCY > COMPARED

# Control of MAXABS, one cycle after its operand.
PEAK_CONTROL = data.StructLayout({
    "enable": 1,  # otherwise nothing is compared
    "first": 1,  # there is no largest magnitude yet
    "fold": 1,  # compare those of two lanes, not this lane's with its operand
})


class IntegerUnit(Part):
    """op(value, other) for all operations but MAD and SUM (spec/isa.py, VectorOp).

    MAXABS gives the largest magnitude since `first`, or, with `fold`, the larger one of two lanes, in time for the next
    cycle's comparison. Magnitudes are compared as integers, in which NaN, 0x7fc00000, is above infinity.

    Throughput: a result every cycle. Latency: LATENCY cycles.

    Members
    -------
    value, other : In
    op : In, VectorOp
    peak_control : In, one cycle after the operands
    low, high : In, the largest magnitudes of two lanes, with `peak_control`
    peak : Out, the largest magnitude, COMPARED cycles after its operand
    result : Out
    """

    def __init__(self):
        super().__init__({
            **members(In, "value", "other", shape=BITS),
            "op": In(OP_BITS),
            "peak_control": In(PEAK_CONTROL),
            **members(In, "low", "high", shape=MAGNITUDE_BITS),
            "peak": Out(MAGNITUDE_BITS),
            "result": Out(BITS),
        })

    def build(self, m, platform):
        ops = Delays(m, {"op": self.op})
        to_integer = FloatToInteger((BITS,)).place(m, "to_integer", platform)
        to_float = IntegerToFloat(BITS).place(m, "to_float", platform)
        m.d.comb += [to_integer.value.eq(self.value), to_float.value.eq(self.value)]
        word = registered(m, "word", self._integers(m, ops.at("op", 1)), BITS)
        extreme = self._compare(m, ops.at("op", 1))

        early_3 = Signal(BITS, reset_less=True)
        found = {(VectorOp.MAX, VectorOp.MIN): extreme, VectorOp.MAXABS: self.peak, VectorOp.TOINT: to_integer.result}
        choose(m, early_3, ops.at("op", COMPARED), found, word, domain="sync")
        early_4 = registered(m, "early_4", early_3)
        is_float = ops.at("op", TO_FLOAT_LATENCY) == VectorOp.TOFLOAT
        m.d.comb += self.result.eq(registered(m, "result_5", Mux(is_float, to_float.result, early_4), BITS))

    def _integers(self, m, op_1):
        """IADD, ISUB, SHL and SHR of the operands of the cycle before."""
        subtract = self.op == VectorOp.ISUB
        left = self.op == VectorOp.SHL
        # One shifter to the right serves both directions.
        turned = Mux(left, self.value[::-1], self.value)
        fill = ~left & self.value[-1]
        total = registered(m, "total", sum_or_difference(self.other, self.value, subtract, BITS), BITS)
        shifted = Cat(turned, fill).as_signed() >> self.other[: (BITS - 1).bit_length()]
        shifted = registered(m, "shifted", shifted, BITS)
        return Mux(op_1 == VectorOp.SHL, shifted[::-1], Mux(op_1 == VectorOp.SHR, shifted, total))

    def _compare(self, m, op_1):
        """Returns MAX or MIN, COMPARED cycles after the operands; keeps the largest magnitude in `peak`."""
        value, other = Fields(self.value), Fields(self.other)
        first = registered(m, "first", Cat(value.canonical_magnitude[:MAGNITUDE_BITS], value.sign))
        second = registered(m, "second", Cat(other.canonical_magnitude[:MAGNITUDE_BITS], other.sign))
        nan = registered(m, "nan", value.is_nan | other.is_nan)
        # Plus is above minus, so -0 is below +0; among negative numbers the smaller magnitude is above.
        one, two = Fields(first), Fields(second)
        above = one.magnitude > two.magnitude
        first_larger = Mux(one.sign == two.sign, above ^ one.sign, two.sign)
        larger = Mux(first_larger == (op_1 == VectorOp.MAX), first, second)
        extreme = registered(m, "extreme", Mux(nan, NAN, larger), BITS)

        peak = Signal(MAGNITUDE_BITS, reset_less=True)
        m.d.comb += self.peak.eq(peak)
        old = Mux(self.peak_control.fold, self.low, Mux(self.peak_control.first, 0, peak))
        new = Mux(self.peak_control.fold, self.high, one.magnitude)
        with m.If(self.peak_control.enable):
            m.d.sync += peak.eq(Mux(old > new, old, new))
        return extreme
