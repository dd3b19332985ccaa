"""Addresses of an operand."""

from amaranth import Module, Mux, Signal
from amaranth.lib import enum
from amaranth.lib.wiring import In, Out

from hw.part import Part

ADDRESS_BITS = 16
TOKEN_STRIDE_BITS = 12
OUTER_STRIDE_BITS = 8


class Step(enum.Enum, shape=3):
    """Which of the loops over tokens, outer and inner steps goes on; those inside it start again."""

    HOLD = 0
    INNER = 1
    OUTER = 2
    TOKEN = 3
    LOAD = 4


class AddressWalk(Part):
    """base + token * its stride + outer * its stride + inner * its stride, modulo 2^ADDRESS_BITS, without a multiplier.

    The address of a step is there in the cycle after it.

    Members
    -------
    base, token_stride, outer_stride, inner_stride : In, stable but for `token_stride`
    step : In
    address : Out
    """

    def __init__(self):
        super().__init__({
            "base": In(ADDRESS_BITS),
            "token_stride": In(TOKEN_STRIDE_BITS),
            "outer_stride": In(OUTER_STRIDE_BITS),
            "inner_stride": In(1),
            "step": In(Step),
            "address": Out(ADDRESS_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        token_start = Signal(ADDRESS_BITS, reset_less=True)
        outer_start = Signal(ADDRESS_BITS, reset_less=True)
        start = Signal(ADDRESS_BITS)
        stride = Signal(ADDRESS_BITS)
        following = Signal(ADDRESS_BITS)
        with m.Switch(self.step):
            with m.Case(Step.TOKEN):
                m.d.comb += [start.eq(token_start), stride.eq(self.token_stride)]
            with m.Case(Step.OUTER):
                m.d.comb += [start.eq(outer_start), stride.eq(self.outer_stride)]
            with m.Default():
                m.d.comb += [start.eq(self.address), stride.eq(self.inner_stride)]
        m.d.comb += following.eq(Mux(self.step == Step.LOAD, self.base, start + stride))
        with m.If(self.step != Step.HOLD):
            m.d.sync += self.address.eq(following)
            with m.If(self.step != Step.INNER):
                m.d.sync += outer_start.eq(following)
                with m.If(self.step != Step.OUTER):
                    m.d.sync += token_start.eq(following)
        return m
