"""Turns weight codes into bit-serial terms, by the formats' own tables."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import registered
from einloom.hw.part import Part
from einloom.spec.formats import EXPONENT_BITS, SELECTOR_BITS, SPECIAL_COUNT, Format, Term

# The fields of einloom.spec.formats.Term, in the order of Term.bits.
TERM = data.StructLayout({"man": 1, "exp": EXPONENT_BITS, "sign": 1})
MAX_TERMS_OF_SPECIAL = 2
SPECIALS = data.ArrayLayout(data.ArrayLayout(Term.BITS, MAX_TERMS_OF_SPECIAL), SPECIAL_COUNT)
SPECIAL_VALUES = data.ArrayLayout(signed(6), SPECIAL_COUNT)  # two terms are at most 2 * 8 + 8


class TermDecoder(Part):
    """Gives one term of one weight. Throughput: a term every cycle. Latency: none, it is combinational.

    For integer formats term i is the radix-4 Booth digit of the code bits 2i+1, 2i, 2i-1. For minifloats it is looked
    up by the code; the special code yields the terms of the special value that the group's selector names. Special
    values are held as ready terms, so any value with two signed terms can be programmed, and no leading-one detector is
    needed. Source: BitMoD (HPCA 2025), section IV-B.

    Parameters
    ----------
    formats : the formats that `format` can choose from, in that order.

    Members
    -------
    code : In(widest code)
    format, term : In, which format and which of its terms
    selector : In(2), the group's special value
    specials : In, the terms of the four special values
    digit : Out(TERM)
    """

    def __init__(self, formats: tuple[Format, ...]):
        self.max_terms = max(f.terms_per_weight for f in formats)
        super().__init__({
            "code": In(max(f.bits for f in formats)),
            "format": In(range(max(len(formats), 2))),
            "term": In(range(max(self.max_terms, 2))),
            "selector": In(SELECTOR_BITS),
            "specials": In(SPECIALS),
            "digit": Out(TERM),
        })

    def build(self, m, platform):
        with m.Switch(self.format):
            for index, format in enumerate(self.formats):
                with m.Case(index):
                    decode = self._booth if format.is_integer else self._look_up
                    m.d.comb += self.digit.as_value().eq(decode(m, format))

    def _booth(self, m: Module, format: Format):
        code = self.code[: format.bits].as_signed()
        extended = Cat(Const(0, 1), code, code[-1])  # bit -1 is 0, and odd widths read one bit past the sign
        triple = Signal(3, name=f"triple_{format.name}")
        m.d.comb += triple.eq(Array(extended[s : s + 3] for s in format.bsig)[self.term])
        low, middle, high = triple
        return Cat(~(low & middle & high) & (low | middle | high), low == middle, Const(0, 1), high)

    def _look_up(self, m: Module, format: Format):
        words = [[t.bits for t in format.terms(value)] for value in format.table]
        table = Signal(Term.BITS * format.terms_per_weight, name=f"terms_{format.name}")
        with m.Switch(self.code[: format.bits]):
            for code, terms in enumerate(words):
                with m.Case(code):
                    if code == format.special_code:
                        m.d.comb += table.eq(self.specials[self.selector])
                    else:
                        m.d.comb += table.eq(Cat(Const(bits, Term.BITS) for bits in terms))
        return Mux(self.term[0], table[Term.BITS :], table[: Term.BITS])


class SpecialValues(Part):
    """The special values as integers, for engines that multiply values. Throughput: four a cycle. Latency: 1 cycle.

    Members
    -------
    specials : In, the terms of the four special values, the first of each with a shift of one
    special_values : Out(SPECIAL_VALUES)
    """

    def __init__(self):
        super().__init__({"specials": In(SPECIALS), "special_values": Out(SPECIAL_VALUES)})

    def build(self, m, platform):
        for n, terms in enumerate(self.specials):
            first, second = (self._value(data.View(TERM, bits)) for bits in terms)
            value = registered(m, f"value_{n}", (first << 1) + second, signed(6))
            m.d.comb += self.special_values[n].eq(value)

    @staticmethod
    def _value(term):
        magnitude = Mux(term.man, Const(1) << term.exp, 0)
        return Mux(term.sign, -magnitude, magnitude)
