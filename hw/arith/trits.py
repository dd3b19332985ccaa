"""Unpacks bytes of five ternary codes."""

from amaranth import Array, Cat, Const, Mux
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.named import named
from einloom.hw.part import Part
from einloom.spec.trits import LAST_PAIR, TRIT_VALUES, TRITS_PER_BYTE

CODE_BITS = 2
PAIR = Array(
    Cat(Const(pair % TRIT_VALUES, CODE_BITS), Const(pair // TRIT_VALUES, CODE_BITS)) for pair in range(LAST_PAIR)
)
"""The two codes of each pair but for the last pair."""


class TritDecoder(Part):
    """The codes of a byte, as spec/trits.py defines them. Throughput: a byte every cycle. Latency: none; two LUTs.

    Members
    -------
    trits : In(8), a byte of five
    codes : Out, five codes of two bits, code 0 lowest
    """

    def __init__(self):
        super().__init__({"trits": In(8), "codes": Out(TRITS_PER_BYTE * CODE_BITS)})

    def build(self, m, platform):
        a, b, c = self.trits[:3], self.trits[3:6], self.trits[6:]
        last = Const(2 | 2 << CODE_BITS, 2 * CODE_BITS)
        escaped = c == 3
        first = PAIR[Mux(escaped, Cat(a[:2], b[2]), a)]
        second_is_last = named(m, "second_is_last", escaped & (a[2] | (a[:2] == 3)))
        code = Mux(second_is_last, Cat(b[0] & ~b[1], b[1]), Mux(escaped, a[:2], c))
        m.d.comb += self.codes.eq(Cat(Mux(escaped & ~a[2], last, first), Mux(second_is_last, last, PAIR[b]), code))
