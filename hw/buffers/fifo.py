"""The queue between two streams."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.parity import corrupt_port, with_parity
from einloom.hw.part import Part

LUTRAM_DEPTH = 32  # words for which a bit takes one LUT of distributed memory; deeper queues go to block memory


class StreamFifo(Part):
    """A queue of exactly `depth` words between two streams. Throughput: a word in and a word out every cycle.

    Up to 32 words lie in distributed memory that is read combinationally. Latency: 1 cycle. Deeper queues use a memory
    with a registered read port (block or ultra memory) and one more register, so that no path leads from the memory to
    the consumer. Latency: 3 cycles.

    Parameters
    ----------
    width : bits of a word.
    depth : words; at least 2.
    parity : each word has a parity bit, which is checked as the word is taken.

    Members
    -------
    i : In, stream of words
    o : Out, stream of words
    level : Out, words held: put and not yet taken
    clear : In(1), forget all words; what is put in the same cycle is forgotten too
    corrupt : Out(1), with `parity` only: the word that was taken in the cycle before lost a bit
    """

    def __init__(self, width: int, depth: int, parity: bool = False):
        if depth < 2:
            raise ValueError(f"a queue must hold at least 2 words, not {depth!r}")
        super().__init__({
            "i": In(stream.Signature(width)),
            "o": Out(stream.Signature(width)),
            "level": Out(range(depth + 1)),
            "clear": In(1),
            **corrupt_port(parity),
        })

    def build(self, m, platform):
        put, take = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(self.level != self.depth),
            put.eq(self.i.valid & self.i.ready),
            take.eq(self.o.valid & self.o.ready),
        ]
        m.d.sync += self.level.eq(Mux(self.clear, 0, self.level + put - take))

        m.submodules.words = words = memory.Memory(shape=self.width + self.parity, depth=self.depth, init=[])
        write = words.write_port()
        m.d.comb += [write.data.eq(with_parity(self.i.payload, self.parity)), write.en.eq(put)]
        self._advance(m, write.addr, put)
        if self.depth <= LUTRAM_DEPTH:
            read = words.read_port(domain="comb")
            self._advance(m, read.addr, take)
            m.d.comb += [self.o.payload.eq(read.data), self.o.valid.eq(self.level != 0)]
            output = read.data
        else:
            output = self._registered_output(m, words.read_port(), put)
        if self.parity:
            m.d.sync += self.corrupt.eq(take & ~self.clear & output.xor())

    def _registered_output(self, m: Module, read, put: Signal) -> Signal:
        """Move words through the read port's register and one more, which is returned."""
        stored = Signal(range(self.depth + 1))  # words that the read port has not fetched
        fetched, move = Signal(), Signal()
        output = Signal(self.width + self.parity, reset_less=True)
        output_valid = Signal()
        m.d.comb += [
            move.eq(~output_valid | self.o.ready),
            read.en.eq((stored != 0) & (~fetched | move)),
            self.o.payload.eq(output),
            self.o.valid.eq(output_valid),
        ]
        self._advance(m, read.addr, read.en)
        m.d.sync += stored.eq(stored + put - read.en)
        m.d.sync += fetched.eq(read.en | (fetched & ~move))
        with m.If(move):
            m.d.sync += [output_valid.eq(fetched), output.eq(read.data)]
        with m.If(self.clear):
            m.d.sync += [stored.eq(0), fetched.eq(0), output_valid.eq(0)]
        return output

    def _advance(self, m: Module, address: Signal, step: Signal) -> None:
        """Drive `address` by a pointer that `step` moves around the memory."""
        pointer = Signal.like(address, name=f"{address.name}_pointer")
        m.d.comb += address.eq(pointer)
        with m.If(self.clear):
            m.d.sync += pointer.eq(0)
        with m.Elif(step):
            m.d.sync += pointer.eq(Mux(pointer == self.depth - 1, 0, pointer + 1))
