"""Addresses of an operand."""

from amaranth import Module, Signal
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
        address = Signal(ADDRESS_BITS, reset_less=True)
        following = Signal(ADDRESS_BITS)
        # All sums are formed, for `step` comes late in the cycle.
        with m.Switch(self.step):
            with m.Case(Step.LOAD):
                m.d.comb += following.eq(self.base)
            with m.Case(Step.TOKEN):
                m.d.comb += following.eq(token_start + self.token_stride)
            with m.Case(Step.OUTER):
                m.d.comb += following.eq(outer_start + self.outer_stride)
            with m.Default():
                m.d.comb += following.eq(address + self.inner_stride)
        m.d.comb += self.address.eq(address)
        with m.If(self.step != Step.HOLD):
            m.d.sync += address.eq(following)
            with m.If(self.step != Step.INNER):
                m.d.sync += outer_start.eq(following)
                with m.If(self.step != Step.OUTER):
                    m.d.sync += token_start.eq(following)
        return m
