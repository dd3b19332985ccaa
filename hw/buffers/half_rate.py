"""A stream cut by one register in both directions."""

from amaranth import Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part


class HalfRateBuffer(Part):
    """Registers a stream both ways, as SkidBuffer does, with half its registers and no multiplexer.

    A word is accepted only when the one before has left. Throughput: a word every other cycle. Latency: 1 cycle.

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
        word, full = Signal(self.width, reset_less=True), Signal()
        m.d.comb += [self.i.ready.eq(~full), self.o.valid.eq(full), self.o.payload.eq(word)]
        with m.If(~full):
            m.d.sync += [word.eq(self.i.payload), full.eq(self.i.valid)]
        with m.Elif(self.o.ready):
            m.d.sync += full.eq(0)
