"""The tokens that wait between units."""

from amaranth import Cat, Module, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.spec.isa import TOKEN_LIMIT, UNITS

MASK_BITS = 8  # the fields `wait` and `signal`: bit u is unit u


class TokenBoard(Part):
    """A counter for each pair of units: tokens that the first gave and the second has not taken.

    Ports are arrays over UNITS; masks have the bit u for unit u.

    Members
    -------
    give : In, the units to which this unit gives a token
    available : Out, the units that have a token for this unit; as of the cycle before
    take : In, the units from which this unit takes a token; only those available
    overflow : Out(1), a counter would have gone beyond TOKEN_LIMIT two cycles before
    """

    def __init__(self):
        count = len(UNITS)
        super().__init__({
            "give": In(MASK_BITS).array(count),
            "available": Out(MASK_BITS).array(count),
            "take": In(MASK_BITS).array(count),
            "overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        overflows = []
        over = Signal(len(UNITS) * (len(UNITS) - 1))
        for p, producer in enumerate(UNITS):
            for c, consumer in enumerate(UNITS):
                if p == c:
                    continue
                tokens = Signal(range(TOKEN_LIMIT + 1), name=f"{producer.name}_to_{consumer.name}".lower())
                given, taken = self.give[p][consumer], self.take[c][producer]
                m.d.sync += tokens.eq(tokens + given - taken)
                # That there are some, known early in a cycle: units wait for it.
                some = Signal(name=f"{producer.name}_for_{consumer.name}".lower())
                m.d.sync += some.eq(given | (tokens > 1) | ((tokens == 1) & ~taken))
                m.d.comb += self.available[c][producer].eq(some)
                overflows.append((tokens == TOKEN_LIMIT) & given & ~taken)
        # Two registers: a unit's end, which gives tokens, comes late in a cycle.
        m.d.sync += [over.eq(Cat(overflows)), self.overflow.eq(over.any())]
        return m
