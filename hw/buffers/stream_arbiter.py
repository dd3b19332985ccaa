"""Several streams merged into one."""

from amaranth import Array, Cat, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.skid import SkidBuffer
from einloom.hw.part import Part
from einloom.hw.wires import join


class StreamArbiter(Part):
    """Gives the words of `count` streams one after the other, the lowest stream's first.

    Registers hold which stream has its turn. With each word that leaves they are set to the lowest other stream that
    has one. So nothing of the choice is in the words' path, which is a multiplexer: its choice is a register too, the
    turn's number, because LUTs choose among four words by two bits, but among two and a half by a bit for each.

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
        chosen = Signal(range(self.count))  # the number of that bit
        for n, source in enumerate(self.inputs):
            m.d.comb += [
                waiting[n].eq(source.valid & ~turn[n]),
                source.ready.eq(turn[n] & register.i.ready),
            ]
        word = Array(source.payload for source in self.inputs)[chosen]
        # A stream whose turn it is has a word, since it had one when it was chosen and keeps it until it is taken.
        m.d.comb += [register.i.valid.eq(turn.any()), register.i.payload.eq(word)]
        with m.If(register.i.ready | ~turn.any()):
            lowest = waiting & -waiting
            numbers = (Cat(lowest[n] for n in range(self.count) if n >> bit & 1) for bit in range(len(chosen)))
            m.d.sync += [turn.eq(lowest), chosen.eq(Cat(bits.any() for bits in numbers))]
        join(m, register.o, self.o)
