"""What a lane computes beside its multiplier and adder: integers, comparisons and conversions."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.vector.float32 import BITS, MAGNITUDE_BITS, NAN, Fields, sum_or_difference
from einloom.hw.vector.float_convert import TO_FLOAT_LATENCY, TO_INTEGER_LATENCY, FloatToInteger, IntegerToFloat
from einloom.spec.isa import VectorOp

OP_BITS = 4
COMPARED = 2  # cycles from the operands to the larger one, and to the largest magnitude so far
LATENCY = 5
assert TO_INTEGER_LATENCY == COMPARED
assert LATENCY > TO_FLOAT_LATENCY > COMPARED

# How MAXABS goes on, one cycle after its operand.
PEAK_CONTROL = data.StructLayout({
    "enable": 1,  # otherwise nothing is compared
    "first": 1,  # there is no largest magnitude yet
    "fold": 1,  # compare those of two lanes, not this lane's with its operand
})


class IntegerUnit(Part):
    """op(value, other) for all but MAD and SUM (spec/isa.py, VectorOp); a result every cycle, after LATENCY cycles.

    The result of MAXABS is the largest magnitude since `first`, or, with `fold`, that of two lanes; it is there for the
    next cycle's comparison. Magnitudes are compared as integers, in which NaN, 0x7fc00000, is above infinity.

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
            "value": In(BITS),
            "other": In(BITS),
            "op": In(OP_BITS),
            "peak_control": In(PEAK_CONTROL),
            "low": In(MAGNITUDE_BITS),
            "high": In(MAGNITUDE_BITS),
            "peak": Out(MAGNITUDE_BITS),
            "result": Out(BITS),
        })

    def elaborate(self, platform):
        m = Module()
        ops = [self.op]
        for stage in range(1, LATENCY):
            op = Signal(OP_BITS, name=f"op_{stage}", reset_less=True)
            m.d.sync += op.eq(ops[-1])
            ops.append(op)

        to_integer = FloatToInteger((BITS,)).place(m, "to_integer", platform)
        to_float = IntegerToFloat(BITS).place(m, "to_float", platform)
        m.d.comb += [to_integer.value.eq(self.value), to_float.value.eq(self.value)]
        word = Signal(BITS, reset_less=True)
        m.d.sync += word.eq(self._integers(m, ops[1]))
        extreme = self._compare(m, ops[1])

        early_3 = Signal(BITS, reset_less=True)
        early_4 = Signal(BITS, reset_less=True)
        result = Signal(BITS, reset_less=True)
        m.d.comb += self.result.eq(result)
        with m.Switch(ops[COMPARED]):
            with m.Case(VectorOp.MAX, VectorOp.MIN):
                m.d.sync += early_3.eq(extreme)
            with m.Case(VectorOp.MAXABS):
                m.d.sync += early_3.eq(self.peak)
            with m.Case(VectorOp.TOINT):
                m.d.sync += early_3.eq(to_integer.result)
            with m.Default():
                m.d.sync += early_3.eq(word)
        m.d.sync += [
            early_4.eq(early_3),
            result.eq(Mux(ops[TO_FLOAT_LATENCY] == VectorOp.TOFLOAT, to_float.result, early_4)),
        ]
        return m

    def _integers(self, m, op_1):
        """IADD, ISUB, SHL and SHR, of the operands of the cycle before."""
        subtract = self.op == VectorOp.ISUB
        left = self.op == VectorOp.SHL
        total = Signal(BITS, reset_less=True)
        shifted = Signal(BITS, reset_less=True)
        # One shifter to the right serves both directions.
        turned = Mux(left, self.value[::-1], self.value)
        fill = ~left & self.value[-1]
        m.d.sync += [
            total.eq(sum_or_difference(self.other, self.value, subtract, BITS)),
            shifted.eq(Cat(turned, fill).as_signed() >> self.other[: (BITS - 1).bit_length()]),
        ]
        return Mux(op_1 == VectorOp.SHL, shifted[::-1], Mux(op_1 == VectorOp.SHR, shifted, total))

    def _compare(self, m, op_1):
        """MAX and MIN, COMPARED cycles after the operands; and the largest magnitude."""
        value, other = Fields(self.value), Fields(self.other)
        first = Signal(BITS, reset_less=True)
        second = Signal(BITS, reset_less=True)
        nan = Signal(reset_less=True)
        extreme = Signal(BITS, reset_less=True)
        m.d.sync += [
            first.eq(Cat(value.canonical_magnitude[:MAGNITUDE_BITS], value.sign)),
            second.eq(Cat(other.canonical_magnitude[:MAGNITUDE_BITS], other.sign)),
            nan.eq(value.is_nan | other.is_nan),
        ]
        # Of two signs the plus is larger, so -0 is below +0; of two negative numbers the smaller magnitude.
        one, two = Fields(first), Fields(second)
        above = one.magnitude > two.magnitude
        first_larger = Mux(one.sign == two.sign, above ^ one.sign, two.sign)
        m.d.sync += extreme.eq(Mux(nan, NAN, Mux(first_larger == (op_1 == VectorOp.MAX), first, second)))

        peak = Signal(MAGNITUDE_BITS, reset_less=True)
        m.d.comb += self.peak.eq(peak)
        old = Mux(self.peak_control.fold, self.low, Mux(self.peak_control.first, 0, peak))
        new = Mux(self.peak_control.fold, self.high, one.magnitude)
        with m.If(self.peak_control.enable):
            m.d.sync += peak.eq(Mux(old > new, old, new))
        return extreme
