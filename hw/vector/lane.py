"""A lane of the vector unit."""

from amaranth import Mux, Signal
from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import Delays, delayed, registered
from einloom.hw.part import Part
from einloom.hw.vector import float_adder, float_multiplier, integer_unit
from einloom.hw.vector.float32 import BITS, MAGNITUDE_BITS, MINUS_ZERO, ONE
from einloom.hw.vector.float_adder import FloatAdder
from einloom.hw.vector.float_multiplier import FloatMultiplier
from einloom.hw.vector.integer_unit import OP_BITS, PEAK_CONTROL, IntegerUnit
from einloom.hw.wires import choose, members
from einloom.spec.isa import REDUCE_PARTIALS

# Cycles from the operands at a lane's ports to the multiplier, the adder and the result.
MULTIPLY = 1
NEGATE = MULTIPLY + 2
PEAK = MULTIPLY + 1
ADD = MULTIPLY + float_multiplier.LATENCY
LATENCY = ADD + float_adder.LATENCY
LOOP_DELAY = REDUCE_PARTIALS - float_adder.LATENCY  # a partial sum returns REDUCE_PARTIALS cycles after it went in


class Factor(enum.Enum, shape=2):
    """The choices for x."""

    B = 0
    IMMEDIATE = 1
    A = 2
    ONE = 3


class Addend(enum.Enum, shape=2):
    """The choices for y. x + -0 is x for every x."""

    C = 0
    IMMEDIATE = 1
    MINUS_ZERO = 2


class Left(enum.Enum, shape=3):
    """The choices for the adder's left operand; `AGO_n` is the sum n cycles before the last one."""

    PRODUCT = 0
    MINUS_ZERO = 1
    AGO_1 = 2
    AGO_2 = 3
    AGO_4 = 4
    LOW = 5


class Right(enum.Enum, shape=3):
    """The choices for the adder's right operand."""

    ADDEND = 0
    ZERO = 1
    LOOP = 2
    LAST = 3
    HIGH = 4


# Control of all lanes: the shape of each field, and its cycle; operands are at the ports in cycle 0.
CONTROLS = {
    "factor": (Factor, 0),
    "addend": (Addend, 0),
    "op": (OP_BITS, MULTIPLY),
    "peak": (PEAK_CONTROL, PEAK),
    "negate": (1, NEGATE),
    "left": (Left, ADD),
    "right": (Right, ADD),
    "integer": (1, LATENCY),  # the result is not the adder's
}
LANE_CONTROL = data.StructLayout({name: shape for name, (shape, _) in CONTROLS.items()})
# The values that lanes exchange in a reduction.
PARTIAL = data.StructLayout({"sum": BITS, "peak": MAGNITUDE_BITS})


class VectorLane(Part):
    """op(a, x, y) of spec/isa.py on one lane. Throughput: a result every cycle. Latency: LATENCY cycles.

    The product goes to the adder, whose other operand is y. A missing factor is 1 and a missing addend -0, which change
    nothing. In a reduction the adder takes its own sums: a partial sum returns to it REDUCE_PARTIALS cycles after it
    went in, in step with its next word. Behind the last word it adds the lane's partial sums to each other, then those
    of other lanes (hw/vector/reduction.py).

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
        operands = {name: In(BITS) for name in ("a_data", "b_data", "c_data", "immediate")}
        super().__init__({
            **operands,
            "control": In(LANE_CONTROL),
            **members(In, "low", "high", shape=PARTIAL),
            "partial": Out(PARTIAL),
            "result": Out(BITS),
        })

    def build(self, m, platform):
        control = self.control
        value = registered(m, "value", self.a_data)
        factor, addend = Signal(BITS, reset_less=True), Signal(BITS, reset_less=True)
        factors = {Factor.B: self.b_data, Factor.IMMEDIATE: self.immediate, Factor.A: self.a_data, Factor.ONE: ONE}
        addends = {Addend.C: self.c_data, Addend.IMMEDIATE: self.immediate}
        choose(m, factor, control.factor, factors, domain="sync")
        choose(m, addend, control.addend, addends, MINUS_ZERO, domain="sync")

        multiplier = FloatMultiplier().place(m, "multiplier", platform)
        adder = FloatAdder().place(m, "adder", platform)
        integers = IntegerUnit().place(m, "integers", platform)
        m.d.comb += [
            multiplier.x.eq(value),
            multiplier.y.eq(factor),
            multiplier.negate.eq(control.negate),
            integers.value.eq(value),
            integers.other.eq(factor),
            integers.op.eq(control.op),
            integers.peak_control.eq(control.peak),
            integers.low.eq(self.low.peak),
            integers.high.eq(self.high.peak),
            self.partial.sum.eq(adder.sum),
            self.partial.peak.eq(integers.peak),
        ]
        self._operands(m, adder, multiplier.product, delayed(m, "addend", addend, float_multiplier.LATENCY))
        integer = delayed(m, "integer", integers.result, LATENCY - MULTIPLY - integer_unit.LATENCY)
        m.d.comb += self.result.eq(Mux(control.integer, integer, adder.sum))

    def _operands(self, m, adder, product, addend):
        """Choose the adder's operands."""
        sums = Delays(m, {"sum": adder.sum})
        lefts = {
            Left.PRODUCT: product,
            Left.AGO_1: sums.at("sum", 1),
            Left.AGO_2: sums.at("sum", 2),
            Left.AGO_4: sums.at("sum", 4),
            Left.LOW: self.low.sum,
        }
        rights = {
            Right.ADDEND: addend,
            Right.LOOP: sums.at("sum", LOOP_DELAY),
            Right.LAST: adder.sum,
            Right.HIGH: self.high.sum,
        }
        choose(m, adder.x, self.control.left, lefts, MINUS_ZERO)
        choose(m, adder.y, self.control.right, rights, 0)
