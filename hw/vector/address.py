"""Addresses of an operand."""

from amaranth import Module, Signal
from amaranth.lib import enum
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part

ADDRESS_BITS = 16
TOKEN_STRIDE_BITS = 12
OUTER_STRIDE_BITS = 8


class Step(enum.Enum, shape=2):
    """Which of the loops over tokens, outer and inner steps goes on; those inside it start again."""

    INNER = 0
    OUTER = 1
    TOKEN = 2
    LOAD = 3


class AddressWalk(Part):
    """base + token * its stride + outer * its stride + inner * its stride, modulo 2^ADDRESS_BITS, without a multiplier.

    The address of a step is there in the cycle after it. Where the next token and the next outer step start is there
    before they do, for `enable` comes late in the cycle.

    Members
    -------
    base, outer_stride, inner_stride : In, stable
    token_stride : In, with LOAD or TOKEN: from the token whose first address follows to the one behind it
    step : In, done if `enable`
    enable : In(1)
    address : Out
    """

    def __init__(self):
        super().__init__({
            "base": In(ADDRESS_BITS),
            "token_stride": In(TOKEN_STRIDE_BITS),
            "outer_stride": In(OUTER_STRIDE_BITS),
            "inner_stride": In(1),
            "step": In(Step),
            "enable": In(1),
            "address": Out(ADDRESS_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        next_token = Signal(ADDRESS_BITS, reset_less=True)
        next_outer = Signal(ADDRESS_BITS, reset_less=True)
        address = Signal(ADDRESS_BITS, reset_less=True)
        m.d.comb += self.address.eq(address)
        with m.If(self.enable):
            with m.Switch(self.step):
                with m.Case(Step.INNER):
                    m.d.sync += address.eq(address + self.inner_stride)
                with m.Case(Step.OUTER):
                    m.d.sync += [address.eq(next_outer), next_outer.eq(next_outer + self.outer_stride)]
                for step, start in ((Step.TOKEN, next_token), (Step.LOAD, self.base)):
                    with m.Case(step):
                        m.d.sync += [
                            address.eq(start),
                            next_outer.eq(start + self.outer_stride),
                            next_token.eq(start + self.token_stride),
                        ]
        return m
