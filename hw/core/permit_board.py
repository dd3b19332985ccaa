"""The permits between units."""

from amaranth import Cat, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.isa_layout import HEADER_LAYOUT
from einloom.hw.part import Part
from einloom.spec.isa import PERMIT_LIMIT, UNITS

MASK_BITS = HEADER_LAYOUT["wait"].width  # bit u is unit u


class PermitBoard(Part):
    """Counts permits: for each pair of units, how many the first gave that the second has not taken.

    Ports are arrays over UNITS; bit u of a mask is unit u. Throughput: a permit of each pair given and taken every
    cycle. Latency: a permit is `available` 1 cycle after it was given.

    Members
    -------
    give : In, the units to which this unit gives a permit
    available : Out, the units that have a permit for this unit
    take : In, the units from which this unit takes a permit; only those available
    overflow : Out(1), a counter would have gone beyond PERMIT_LIMIT two cycles before
    """

    def __init__(self):
        count = len(UNITS)
        super().__init__({
            "give": In(MASK_BITS).array(count),
            "available": Out(MASK_BITS).array(count),
            "take": In(MASK_BITS).array(count),
            "overflow": Out(1),
        })

    def build(self, m, platform):
        overflows = []
        over = Signal(len(UNITS) * (len(UNITS) - 1))
        for p, producer in enumerate(UNITS):
            for c, consumer in enumerate(UNITS):
                if p == c:
                    continue
                permits = Signal(range(PERMIT_LIMIT + 1), name=f"{producer.name}_to_{consumer.name}".lower())
                given, taken = self.give[p][consumer], self.take[c][producer]
                m.d.sync += permits.eq(permits + given - taken)
                # A register says that there are some, because units begin their cycle with it.
                some = Signal(name=f"{producer.name}_for_{consumer.name}".lower())
                m.d.sync += some.eq(given | (permits > 1) | ((permits == 1) & ~taken))
                m.d.comb += self.available[c][producer].eq(some)
                overflows.append((permits == PERMIT_LIMIT) & given & ~taken)
        # Two registers: a unit's end, which gives permits, comes late in a cycle.
        m.d.sync += [over.eq(Cat(overflows)), self.overflow.eq(over.any())]
