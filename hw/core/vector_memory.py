"""The memory of the vector unit, and the arbiter of its writers."""

from amaranth import Cat, Signal
from amaranth.lib import memory, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed, registered
from einloom.hw.buffers.parity import parity_ports
from einloom.hw.core.layouts import FLOAT_BITS, word_layout
from einloom.hw.part import Part
from einloom.hw.vector.slot import READS, read_port
from einloom.hw.wires import members

READ_LATENCY = 2  # the memory's own register and one behind it
PAUSE_CYCLES = 4  # while others wait, the vector unit leaves them one cycle in as many; a power of two
WRITERS = ("gemm", "attention", "load")


class VectorMemory(Part):
    """`words` words of `lanes` float32. Throughput: three words are read and one is written in every cycle.

    Results of the vector unit are written at once. Other writers wait for a cycle without one: attention first, then
    loads, then sums. While one of them or the store waits, the vector unit is asked to pause for one cycle in
    PAUSE_CYCLES. Latency: a word comes READ_LATENCY cycles after its address. It is the word before any write in the
    cycle of its address or later.

    Parameters
    ----------
    words, lanes : size.
    parity : each lane of a word has a parity bit.

    Members
    -------
    a, b, c : In, ports of the vector unit
    store : In, port of a reader that shares c's and waits while the vector unit has it
    crowded : Out(1), the vector unit is to read nothing in this cycle
    vector_write, vector_word : In, a result of the vector unit
    gemm, attention, load : In, streams of words
    scrub, scrub_address : In, with `parity` only: zeros are written into a word
    corrupt, store_corrupt : Out(1), with `parity` only: a word that was read READ_LATENCY + 1 cycles before, by the
        vector unit or for `store`, is not one that was written
    """

    def __init__(self, words: int, lanes: int, parity: bool):
        super().__init__({
            **members(In, *READS, shape=read_port(lanes)),
            "store": In(read_port(lanes, shared=True)),
            "crowded": Out(1),
            "vector_write": In(1),
            "vector_word": In(word_layout(lanes)),
            **members(In, *WRITERS, shape=stream.Signature(word_layout(lanes))),
            **parity_ports(parity),
            **({"store_corrupt": Out(1)} if parity else {}),
        })

    def build(self, m, platform):
        bits = self.lanes * FLOAT_BITS
        extra = self.lanes if self.parity else 0
        m.submodules.words = words = memory.Memory(shape=bits + extra, depth=self.words, init=[])
        reads = {name: words.read_port() for name in READS}
        outputs = {name: registered(m, f"{name}_output", port.data) for name, port in reads.items()}
        for name, port in reads.items():
            own = getattr(self, name)
            m.d.comb += [port.addr.eq(own.address), port.en.eq(own.read), own.data.eq(outputs[name][:bits])]
        m.d.comb += self.store.granted.eq(self.store.read & ~self.c.read)
        with m.If(~self.c.read):
            m.d.comb += [reads["c"].addr.eq(self.store.address), reads["c"].en.eq(self.store.read)]
        m.d.comb += self.store.data.eq(self.c.data)

        writers = [getattr(self, name) for name in WRITERS]
        waits = Cat(self.store.read & ~self.store.granted, *(w.valid & ~w.ready for w in writers)).any()
        turn = Signal(range(PAUSE_CYCLES))
        m.d.sync += [turn.eq(turn + 1), self.crowded.eq(waits & (turn == 0))]

        write = words.write_port()
        data = write.data[:bits]
        with m.If(self.vector_write):
            m.d.comb += [write.en.eq(1), write.addr.eq(self.vector_word.address), data.eq(self.vector_word.data)]
        for writer in (self.attention, self.load, self.gemm):
            with m.Elif(writer.valid):
                word = writer.payload
                m.d.comb += [write.en.eq(1), write.addr.eq(word.address), data.eq(word.data)]
                if writer is not self.attention:
                    m.d.comb += writer.ready.eq(1)
        # Nothing but the vector unit comes before attention, whose lanes have a long way from here.
        m.d.comb += self.attention.ready.eq(~self.vector_write)
        if self.parity:
            self._check(m, write, reads, outputs)

    def _check(self, m, write, reads, outputs):
        """Check a parity bit for each lane of a word, where the word leaves."""
        data = write.data[: self.lanes * FLOAT_BITS]
        m.d.comb += write.data[len(data) :].eq(_lane_parities(data))
        with m.If(self.scrub):
            m.d.comb += [write.en.eq(1), write.addr.eq(self.scrub_address), write.data.eq(0)]
        bits, wrong = self.lanes * FLOAT_BITS, {}
        for name, output in outputs.items():
            left = delayed(m, f"{name}_fetched", reads[name].en, READ_LATENCY, reset_less=False)
            wrong[name] = left & (_lane_parities(output[:bits]) != output[bits:])
        stored = Signal(2)  # the word on c's way is for `store`
        m.d.sync += [
            stored.eq(Cat(~self.c.read, stored)),
            self.corrupt.eq(wrong["a"] | wrong["b"] | (wrong["c"] & ~stored[1])),
            self.store_corrupt.eq(wrong["c"] & stored[1]),
        ]


def _lane_parities(word):
    """The parity of each lane."""
    return Cat(word.word_select(n, FLOAT_BITS).xor() for n in range(len(word) // FLOAT_BITS))
