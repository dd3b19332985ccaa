"""The yardstick of floating-point PEs: a plain fp16 multiply-accumulate, a product and a sum every cycle."""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part

FRACTION, EXPONENT = 10, 5
BIAS, INFINITY = 15, 31


class Fp16Mac(Part):
    """acc = round(acc + round(a * b)) in fp16, nearest even, with subnormals flushed to zero and no NaN.

    Registers at the operands and at the sum, none between: the sum of a cycle is used in the next.

    Members
    -------
    a, b : In, fp16
    clear : In(1), start from 0; with the operands
    sum : Out, fp16
    """

    def __init__(self) -> None:
        super().__init__({"a": In(16), "b": In(16), "clear": In(1), "sum": Out(16)})

    def elaborate(self, platform):  # noqa: ARG002 (Amaranth calls it so)
        m = Module()
        a, b = Signal(16, reset_less=True), Signal(16, reset_less=True)
        clear = Signal()
        total = Signal(16, reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), clear.eq(self.clear)]
        product = _product(m, a, b)
        m.d.sync += total.eq(_sum(m, Mux(clear, 0, total), product))
        m.d.comb += self.sum.eq(total)
        return m


def _pack(m: Module, name: str, sign: Value, exponent: Value, significand: Value, is_zero: Value) -> Signal:
    """A number from a significand whose top bit is set, rounded to nearest even; `exponent` is signed and biased."""
    below = len(significand) - FRACTION - 1
    kept, guard, sticky = significand[below:-1], significand[below - 1], significand[: below - 1].any()
    rounded = Signal(signed(9 + FRACTION), name=f"{name}_rounded")
    packed = Signal(16, name=name)
    m.d.comb += rounded.eq(Cat(kept, exponent.as_unsigned()[:8]).as_signed() + (guard & (sticky | kept[0])))
    high = rounded >> FRACTION
    with m.If(is_zero | (high <= 0)):
        m.d.comb += packed.eq(Cat(Const(0, 15), sign))
    with m.Elif(high >= INFINITY):
        m.d.comb += packed.eq(Cat(Const(INFINITY << FRACTION, 15), sign))
    with m.Else():
        m.d.comb += packed.eq(Cat(rounded[:15], sign))
    return packed


def _product(m: Module, a: Signal, b: Signal) -> Signal:
    significands = Signal(2 * FRACTION + 2)
    exponent = Signal(signed(8))
    m.d.comb += significands.eq(Cat(a[:FRACTION], 1) * Cat(b[:FRACTION], 1))
    top = significands[-1]
    m.d.comb += exponent.eq(a[FRACTION:15] + b[FRACTION:15] - BIAS + top)
    normal = Mux(top, significands, significands << 1)[: len(significands)]
    is_zero = (a[FRACTION:15] == 0) | (b[FRACTION:15] == 0)
    return _pack(m, "product", a[15] ^ b[15], exponent, normal, is_zero)


def _sum(m: Module, x: Value, y: Signal) -> Signal:
    """Near and far cases in one datapath: align the smaller, add or subtract, count zeros, shift back, round."""
    large, small = Signal(16), Signal(16)
    swap = x[:15] < y[:15]
    m.d.comb += [large.eq(Mux(swap, y, x)), small.eq(Mux(swap, x, y))]
    distance = Signal(EXPONENT)
    m.d.comb += distance.eq(large[FRACTION:15] - small[FRACTION:15])
    width = FRACTION + 4  # guard, round and sticky bits below
    shifted, lost = Signal(width), Signal()
    hidden = Cat(Const(0, 3), small[:FRACTION], small[FRACTION:15] != 0)
    m.d.comb += shifted.eq(hidden >> distance)
    m.d.comb += lost.eq((hidden & ~(Const((1 << width) - 1, 32) << distance)[:width]).any())
    aligned = Cat(shifted[0] | lost, shifted[1:])
    own = Cat(Const(0, 3), large[:FRACTION], large[FRACTION:15] != 0)
    raw = Signal(width + 1)
    m.d.comb += raw.eq(Mux(large[15] ^ small[15], own - aligned, own + aligned))
    zeros = Signal(range(width + 2))
    for n in range(width + 1):  # the last assignment that holds is the highest set bit
        with m.If(raw[n]):
            m.d.comb += zeros.eq(width - n)
    exponent = Signal(signed(8))
    m.d.comb += exponent.eq(large[FRACTION:15] + 1 - zeros)
    normal = (raw << zeros)[: width + 1]
    return _pack(m, "total", large[15], exponent, normal, raw == 0)
