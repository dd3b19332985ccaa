"""The addresses of a vector operand."""

from amaranth import Signal
from amaranth.lib import enum
from amaranth.lib.wiring import In, Out

from einloom.hw.isa_layout import field_bits
from einloom.hw.part import Part

ADDRESS_BITS = field_bits("vector", "a_base")
TOKEN_STRIDE_BITS = field_bits("vector", "a_token")
OUTER_STRIDE_BITS = field_bits("vector", "a_outer")


class Step(enum.Enum, shape=2):
    """The loop (over tokens, outer or inner steps) that takes its next step; the loops inside it start again."""

    INNER = 0
    OUTER = 1
    TOKEN = 2
    LOAD = 3


class AddressWalk(Part):
    """base + token * token_stride + outer * outer_stride + inner * inner_stride, modulo 2^ADDRESS_BITS.

    There is no multiplier: each step adds a stride. The addresses where the next token and the next outer step start
    are computed ahead, because `enable` comes late in the cycle. Throughput: a step every cycle. Latency: 1 cycle.

    Members
    -------
    base, outer_stride, inner_stride : In, stable
    token_stride : In, with LOAD or TOKEN: from the token that begins to the one behind it
    step : In, taken if `enable`
    enable : In(1), comes late in the cycle
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

    def build(self, m, platform):
        next_token, next_outer = Signal(ADDRESS_BITS, reset_less=True), Signal(ADDRESS_BITS, reset_less=True)
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
