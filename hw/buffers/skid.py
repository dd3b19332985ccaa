"""A stream cut by registers in both directions."""

from amaranth import Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part


class SkidBuffer(Part):
    """Registers a stream both ways, for a crossing between chip regions: no combinational path leads through it.

    There is room for a second word, which arrives before the producer sees that the consumer has stopped.
    Throughput: a word every cycle. Latency: 1 cycle.

    Parameters
    ----------
    width : bits of a word.

    Members
    -------
    i : In, stream of words
    o : Out, stream of words
    """

    def __init__(self, width: int):
        super().__init__({"i": In(stream.Signature(width)), "o": Out(stream.Signature(width))})

    def build(self, m, platform):
        output = Signal(self.width, reset_less=True)
        output_valid = Signal()
        waiting = Signal(self.width, reset_less=True)
        full = Signal()
        m.d.comb += [self.i.ready.eq(~full), self.o.valid.eq(output_valid), self.o.payload.eq(output)]
        with m.If(self.o.ready | ~output_valid):
            # A waiting word goes first; while there is one, none is accepted.
            with m.If(full):
                m.d.sync += [output.eq(waiting), output_valid.eq(1), full.eq(0)]
            with m.Else():
                m.d.sync += [output.eq(self.i.payload), output_valid.eq(self.i.valid)]
        with m.Elif(self.i.valid & ~full):
            m.d.sync += [waiting.eq(self.i.payload), full.eq(1)]
