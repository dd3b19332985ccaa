"""Words of integers on their way to the vector memory, where they are words of floats."""

from amaranth import Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.core.layouts import WORD_ADDRESS_BITS, word_layout
from einloom.hw.part import Part
from einloom.hw.replicated import Replicated
from einloom.hw.vector.float_convert import TO_FLOAT_LATENCY, IntegerToFloat

QUEUE = 8  # words between the converters, which cannot wait, and the vector memory, which may make them; a power of two


def integers_layout(lanes: int, bits: int) -> data.StructLayout:
    """A word of signed integers, where it goes, and whether it is the last of its instruction."""
    return data.StructLayout({"integers": lanes * bits, "address": WORD_ADDRESS_BITS, "last": 1})


class FloatWords(Part):
    """Converts each integer of a word to the nearest float32.

    Throughput: a word a cycle. Latency: TO_FLOAT_LATENCY + 1 cycles.

    Parameters
    ----------
    lanes : integers of a word.
    bits : of an integer, with its sign.

    Members
    -------
    integers : In, stream of `integers_layout`
    words : Out, stream of words for the vector memory
    done : Out(1), the word marked as the last is taken
    """

    def __init__(self, lanes: int, bits: int):
        super().__init__({
            "integers": In(stream.Signature(integers_layout(lanes, bits))),
            "words": Out(stream.Signature(word_layout(lanes))),
            "done": Out(1),
        })

    def build(self, m, platform):
        tagged = data.StructLayout({"word": word_layout(self.lanes), "last": 1})
        queue = StreamFifo(tagged.size, QUEUE).place(m, "queue", platform)
        converters = Replicated(IntegerToFloat(self.bits), self.lanes, sliced=("value", "result"))
        converters.place(m, "converters", platform)

        inside = Signal(range(QUEUE + 1))  # words in the converters and in the queue
        put, take = Signal(), Signal()
        m.d.comb += [
            self.integers.ready.eq(inside != QUEUE),
            put.eq(self.integers.valid & self.integers.ready),
            take.eq(queue.o.valid & queue.o.ready),
            converters.value.eq(self.integers.payload.integers),
        ]
        m.d.sync += inside.eq(inside + put - take)

        along = data.StructLayout({"valid": 1, "last": 1, "address": WORD_ADDRESS_BITS})
        beside = Signal(along)  # goes beside the converters
        m.d.comb += [
            beside.valid.eq(put),
            beside.last.eq(self.integers.payload.last),
            beside.address.eq(self.integers.payload.address),
        ]
        behind = delayed(m, "behind", beside, TO_FLOAT_LATENCY, reset_less=False)
        entry, exit = data.View(tagged, queue.i.payload), data.View(tagged, queue.o.payload)
        m.d.comb += [
            entry.word.address.eq(behind.address),
            entry.word.data.eq(converters.result),
            entry.last.eq(behind.last),
            queue.i.valid.eq(behind.valid),
            self.words.payload.eq(exit.word),
            self.words.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.words.ready),
            self.done.eq(take & exit.last),
        ]
