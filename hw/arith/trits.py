"""Ternary codes from bytes of five."""

from amaranth import Array, Cat, Const, Module
from amaranth.lib.wiring import In, Out

from einloom.trits import CODES, TRITS_PER_BYTE
from hw.part import Part

CODE_BITS = 2


class TritDecoder(Part):
    """codes[i] = trits // 3^i % 3, combinationally: a table of 256 words.

    Members
    -------
    trits : In(8), a byte of five
    codes : Out, five codes of two bits, code 0 lowest
    """

    def __init__(self):
        super().__init__({"trits": In(8), "codes": Out(TRITS_PER_BYTE * CODE_BITS)})

    def elaborate(self, platform):
        m = Module()
        words = Array(Cat(Const(int(code), CODE_BITS) for code in codes) for codes in CODES)
        m.d.comb += self.codes.eq(words[self.trits])
        return m
