"""Several streams merged into one."""

from amaranth import Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.skid import SkidBuffer
from einloom.hw.part import Part
from einloom.hw.wires import join


class StreamArbiter(Part):
    """Gives the words of `count` streams one after the other, the lowest stream's first.

    A register holds which stream has its turn. With each word that leaves it is set to the lowest other stream that has
    one. So nothing of the choice is in the words' path, which is an OR of all streams' words, each masked by its bit of
    that register.

    Throughput: a word a cycle while two streams have words, and one every other cycle where one has. Latency: 2 cycles.

    Parameters
    ----------
    width : bits of a word.
    count : number of streams, at least 1.

    Members
    -------
    inputs : In, array of streams of words
    o : Out, stream of words
    """

    def __init__(self, width: int, count: int):
        if count < 1:
            raise ValueError(f"there must be a stream to merge, not {count!r}")
        word = stream.Signature(width)
        super().__init__({"inputs": In(word).array(count), "o": Out(word)})

    def build(self, m, platform):
        register = SkidBuffer(self.width).place(m, "register", platform)
        turn, waiting = Signal(self.count), Signal(self.count)  # at most one bit of `turn` is 1
        word = 0
        for n, source in enumerate(self.inputs):
            m.d.comb += [
                waiting[n].eq(source.valid & ~turn[n]),
                source.ready.eq(turn[n] & register.i.ready),
            ]
            word |= source.payload & turn[n].replicate(self.width)
        # A stream whose turn it is has a word, since it had one when it was chosen and keeps it until it is taken.
        m.d.comb += [register.i.valid.eq(turn.any()), register.i.payload.eq(word)]
        with m.If(register.i.ready | ~turn.any()):
            m.d.sync += turn.eq(waiting & -waiting)
        join(m, register.o, self.o)
