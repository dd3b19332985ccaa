"""The deep queue between a memory channel and what uses its beats up."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.parity import corrupt_port
from einloom.hw.part import Part


class BeatQueue(Part):
    """Puts `at_once` beats side by side, the first lowest, and queues `beats` of them.

    So what was queued while the consumer waited can be used up `at_once` times as fast as it came. A beat in every
    cycle goes in; a group is there four cycles after its last beat.

    Members
    -------
    i : In, stream of beats
    o : Out, stream of groups
    corrupt : Out(1), with `parity` only: see StreamFifo
    """

    def __init__(self, beat_bits: int, at_once: int, beats: int, parity: bool = False):
        super().__init__({
            "i": In(stream.Signature(beat_bits)),
            "o": Out(stream.Signature(at_once * beat_bits)),
            **corrupt_port(parity),
        })

    def elaborate(self, platform):
        m = Module()
        queue = StreamFifo(self.at_once * self.beat_bits, self.beats // self.at_once, self.parity)
        queue = queue.place(m, "queue", platform)
        if self.parity:
            m.d.comb += self.corrupt.eq(queue.corrupt)
        group = Signal(self.at_once * self.beat_bits, reset_less=True)
        held = Signal(range(self.at_once + 1))
        full = held == self.at_once
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(~full | queue.i.ready),
            take.eq(self.i.valid & self.i.ready),
            queue.i.payload.eq(group),
            queue.i.valid.eq(full),
            self.o.payload.eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready),
        ]
        with m.If(take):
            m.d.sync += group.eq(Cat(group, self.i.payload)[self.beat_bits :])
        with m.If(full & queue.i.ready):
            m.d.sync += held.eq(take)
        with m.Elif(take):
            m.d.sync += held.eq(held + 1)
        return m
