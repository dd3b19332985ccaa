"""The memory of the vector unit, and who may write it."""

from amaranth import Cat, Module, Signal
from amaranth.lib import memory, stream
from amaranth.lib.wiring import In, Out

from hw.core.layouts import FLOAT_BITS, WORD_ADDRESS_BITS, word_layout
from hw.part import Part

READ_LATENCY = 2  # the memory's own register and one behind it
PAUSE_CYCLES = 4  # while others wait, the vector unit leaves them one cycle in as many; a power of two
WRITERS = ("gemm", "attention", "load")


class VectorMemory(Part):
    """`words` words of `lanes` float32: three words read and one written in every cycle.

    The vector unit's results are written at once; other writers wait for a cycle without one, attention before loads
    before sums. So that none waits for long, the vector unit is asked to pause for one cycle in PAUSE_CYCLES while one
    of them or the store does. A word is read READ_LATENCY cycles after its address; one that is written in the cycle of
    its address or later is not seen yet.

    Members
    -------
    a, b, c : {address, read, data}
    store : {address, read, granted, data}, a reader that shares c's port and waits while the vector unit has it
    crowded : Out(1), the vector unit is to read nothing in this cycle
    vector_write, vector_word : In, a result of the vector unit
    gemm, attention, load : In, streams of words
    """

    def __init__(self, words: int, lanes: int):
        self.words = words
        self.lanes = lanes
        word = lanes * FLOAT_BITS
        ports: dict = {}
        for name in ("a", "b", "c", "store"):
            ports |= {f"{name}_address": In(WORD_ADDRESS_BITS), f"{name}_read": In(1), f"{name}_data": Out(word)}
        super().__init__(
            {
                **ports,
                "store_granted": Out(1),
                "crowded": Out(1),
                "vector_write": In(1),
                "vector_word": In(word_layout(lanes)),
                **{name: In(stream.Signature(word_layout(lanes))) for name in WRITERS},
            },
            words=words,
            lanes=lanes,
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = memory.Memory(shape=self.lanes * FLOAT_BITS, depth=self.words, init=[])
        reads = {name: words.read_port() for name in ("a", "b", "c")}
        for name, port in reads.items():
            output = Signal(self.lanes * FLOAT_BITS, name=f"{name}_output", reset_less=True)
            m.d.sync += output.eq(port.data)
            m.d.comb += [
                port.addr.eq(getattr(self, f"{name}_address")),
                port.en.eq(getattr(self, f"{name}_read")),
                getattr(self, f"{name}_data").eq(output),
            ]
        m.d.comb += self.store_granted.eq(self.store_read & ~self.c_read)
        with m.If(~self.c_read):
            m.d.comb += [reads["c"].addr.eq(self.store_address), reads["c"].en.eq(self.store_read)]
        m.d.comb += self.store_data.eq(self.c_data)

        writers = [getattr(self, name) for name in WRITERS]
        waits = Cat(self.store_read & ~self.store_granted, *(w.valid & ~w.ready for w in writers)).any()
        turn = Signal(range(PAUSE_CYCLES))
        m.d.sync += [turn.eq(turn + 1), self.crowded.eq(waits & (turn == 0))]

        write = words.write_port()
        with m.If(self.vector_write):
            m.d.comb += [write.en.eq(1), write.addr.eq(self.vector_word.address), write.data.eq(self.vector_word.data)]
        for name in ("attention", "load", "gemm"):
            writer = getattr(self, name)
            with m.Elif(writer.valid):
                m.d.comb += [
                    write.en.eq(1),
                    write.addr.eq(writer.payload.address),
                    write.data.eq(writer.payload.data),
                    writer.ready.eq(1),
                ]
        return m
