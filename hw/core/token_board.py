"""The tokens that wait between units."""

from amaranth import Cat, Module, Signal
from amaranth.lib.wiring import In, Out

from einloom.isa import TOKEN_LIMIT, UNITS
from hw.part import Part

MASK_BITS = 8  # the fields `wait` and `signal`: bit u is unit u


class TokenBoard(Part):
    """A counter for each pair of units: tokens that the first gave and the second has not taken.

    Ports are arrays over UNITS; masks have the bit u for unit u.

    Members
    -------
    give : In, the units to which this unit gives a token
    available : Out, the units that have a token for this unit; as of the cycle before
    take : In, the units from which this unit takes a token; only those available
    overflow : Out(1), a counter would go beyond TOKEN_LIMIT
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
        for p, producer in enumerate(UNITS):
            for c, consumer in enumerate(UNITS):
                if p == c:
                    continue
                tokens = Signal(range(TOKEN_LIMIT + 1), name=f"{producer.name}_to_{consumer.name}".lower())
                given, taken = self.give[p][consumer], self.take[c][producer]
                m.d.sync += tokens.eq(tokens + given - taken)
                m.d.comb += self.available[c][producer].eq(tokens != 0)
                overflows.append((tokens == TOKEN_LIMIT) & given & ~taken)
        m.d.sync += self.overflow.eq(Cat(overflows).any())
        return m
