"""A lane of the vector unit."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.vector import float_adder, float_multiplier, integer_unit
from einloom.hw.vector.float32 import BITS, MAGNITUDE_BITS, MINUS_ZERO, ONE
from einloom.hw.vector.float_adder import FloatAdder
from einloom.hw.vector.float_multiplier import FloatMultiplier
from einloom.hw.vector.integer_unit import OP_BITS, PEAK_CONTROL, IntegerUnit
from einloom.spec.isa import REDUCE_PARTIALS

# Cycles from the operands at a lane's ports: to the multiplier, the adder and the result.
MULTIPLY = 1
NEGATE = MULTIPLY + 2
PEAK = MULTIPLY + 1
ADD = MULTIPLY + float_multiplier.LATENCY
LATENCY = ADD + float_adder.LATENCY
LOOP_DELAY = REDUCE_PARTIALS - float_adder.LATENCY  # behind the adder, so that a partial sum returns for its next word


class Factor(enum.Enum, shape=2):
    """What x is."""

    B = 0
    IMMEDIATE = 1
    A = 2
    ONE = 3


class Addend(enum.Enum, shape=2):
    """What y is. x + -0 is x for every x."""

    C = 0
    IMMEDIATE = 1
    MINUS_ZERO = 2


class Left(enum.Enum, shape=3):
    """What the adder takes on its left; `AGO_n` is the sum n cycles before the last one."""

    PRODUCT = 0
    MINUS_ZERO = 1
    AGO_1 = 2
    AGO_2 = 3
    AGO_4 = 4
    LOW = 5


class Right(enum.Enum, shape=3):
    """What the adder takes on its right."""

    ADDEND = 0
    ZERO = 1
    LOOP = 2
    LAST = 3
    HIGH = 4


# Control of all lanes, each field in the cycle that its comment names; operands are at the ports in cycle 0.
LANE_CONTROL = data.StructLayout({
    "factor": Factor,  # 0
    "addend": Addend,  # 0
    "op": OP_BITS,  # MULTIPLY
    "peak": PEAK_CONTROL,  # PEAK
    "negate": 1,  # NEGATE
    "left": Left,  # ADD
    "right": Right,  # ADD
    "integer": 1,  # LATENCY: the result is not the adder's
})
# What lanes show each other in a reduction.
PARTIAL = data.StructLayout({"sum": BITS, "peak": MAGNITUDE_BITS})


class VectorLane(Part):
    """op(a, x, y) of spec/isa.py on one lane; a result every cycle, LATENCY cycles after the operands.

    The product goes to the adder, whose other operand is y; a missing factor is 1, and a missing addend -0, which
    change nothing. In a reduction the adder takes its own sums instead: a partial sum returns to it REDUCE_PARTIALS
    cycles after it went in, in step with its next word, and later meets the partial sums that were behind it, and
    those of other lanes (hw/vector/reduction.py).

    Members
    -------
    a_data, b_data, c_data : In, operands
    immediate : In, with them
    control : In(LANE_CONTROL)
    low, high : In(PARTIAL), of two lanes
    partial : Out(PARTIAL), the adder's sum, and the largest magnitude
    result : Out
    """

    def __init__(self):
        super().__init__({
            "a_data": In(BITS),
            "b_data": In(BITS),
            "c_data": In(BITS),
            "immediate": In(BITS),
            "control": In(LANE_CONTROL),
            "low": In(PARTIAL),
            "high": In(PARTIAL),
            "partial": Out(PARTIAL),
            "result": Out(BITS),
        })

    def elaborate(self, platform):
        m = Module()
        value = Signal(BITS, reset_less=True)
        factor = Signal(BITS, reset_less=True)
        addend = Signal(BITS, reset_less=True)
        m.d.sync += value.eq(self.a_data)
        with m.Switch(self.control.factor):
            with m.Case(Factor.B):
                m.d.sync += factor.eq(self.b_data)
            with m.Case(Factor.IMMEDIATE):
                m.d.sync += factor.eq(self.immediate)
            with m.Case(Factor.A):
                m.d.sync += factor.eq(self.a_data)
            with m.Case(Factor.ONE):
                m.d.sync += factor.eq(ONE)
        with m.Switch(self.control.addend):
            with m.Case(Addend.C):
                m.d.sync += addend.eq(self.c_data)
            with m.Case(Addend.IMMEDIATE):
                m.d.sync += addend.eq(self.immediate)
            with m.Default():
                m.d.sync += addend.eq(MINUS_ZERO)

        multiplier = FloatMultiplier().place(m, "multiplier", platform)
        adder = FloatAdder().place(m, "adder", platform)
        integers = IntegerUnit().place(m, "integers", platform)
        m.d.comb += [
            multiplier.x.eq(value),
            multiplier.y.eq(factor),
            multiplier.negate.eq(self.control.negate),
            integers.value.eq(value),
            integers.other.eq(factor),
            integers.op.eq(self.control.op),
            integers.peak_control.eq(self.control.peak),
            integers.low.eq(self.low.peak),
            integers.high.eq(self.high.peak),
            self.partial.sum.eq(adder.sum),
            self.partial.peak.eq(integers.peak),
        ]
        self._operands(m, adder, multiplier.product, delayed(m, addend, float_multiplier.LATENCY, "addend")[-1])
        integer = delayed(m, integers.result, LATENCY - MULTIPLY - integer_unit.LATENCY, "integer")[-1]
        m.d.comb += self.result.eq(Mux(self.control.integer, integer, adder.sum))
        return m

    def _operands(self, m, adder, product, addend):
        """What the adder takes."""
        ago = delayed(m, adder.sum, max(LOOP_DELAY, REDUCE_PARTIALS // 2), "ago")
        with m.Switch(self.control.left):
            with m.Case(Left.PRODUCT):
                m.d.comb += adder.x.eq(product)
            with m.Case(Left.AGO_1):
                m.d.comb += adder.x.eq(ago[1])
            with m.Case(Left.AGO_2):
                m.d.comb += adder.x.eq(ago[2])
            with m.Case(Left.AGO_4):
                m.d.comb += adder.x.eq(ago[4])
            with m.Case(Left.LOW):
                m.d.comb += adder.x.eq(self.low.sum)
            with m.Default():
                m.d.comb += adder.x.eq(MINUS_ZERO)
        with m.Switch(self.control.right):
            with m.Case(Right.ADDEND):
                m.d.comb += adder.y.eq(addend)
            with m.Case(Right.LOOP):
                m.d.comb += adder.y.eq(ago[LOOP_DELAY])
            with m.Case(Right.LAST):
                m.d.comb += adder.y.eq(ago[0])
            with m.Case(Right.HIGH):
                m.d.comb += adder.y.eq(self.high.sum)
            with m.Default():
                m.d.comb += adder.y.eq(0)


def delayed(m, value, cycles, name):
    """`value`, and what it was 1, 2, ... `cycles` cycles ago."""
    taps = [value]
    for n in range(1, cycles + 1):
        tap = Signal.like(value, name=f"{name}_{n}", reset_less=True)
        m.d.sync += tap.eq(taps[-1])
        taps.append(tap)
    return taps
