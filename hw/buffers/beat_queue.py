"""The deep queue between a memory channel and its consumer."""

from amaranth import Cat, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.parity import corrupt_port
from einloom.hw.part import Part
from einloom.hw.wires import feed, join

ON_THEIR_WAY = 3
"""Groups that the queue's level does not count when a beat is accepted: one that is full, one that became full in the
cycle in which the level was compared, and the beat's own."""


class BeatQueue(Part):
    """Puts `at_once` beats side by side, the first lowest, and queues `beats` of them.

    A consumer that has waited can catch up, `at_once` times as fast as beats come. Beats go into a register, and a
    register says whether there is room for one, so a queue may lie on another die than its source. It says so early:
    while the queue has room for the groups that may be on their way into it. Throughput: a beat in and a group out
    every cycle. Latency: 4 cycles from a group's last beat; 2 if the queue is so short that StreamFifo's is 1.

    Members
    -------
    i : In, stream of beats
    o : Out, stream of groups
    corrupt : Out(1), with `parity` only: see StreamFifo
    """

    def __init__(self, beat_bits: int, at_once: int, beats: int, parity: bool = False):
        if beats // at_once <= ON_THEIR_WAY:
            raise ValueError(f"a queue holds more than {ON_THEIR_WAY} groups of {at_once} beats, not {beats!r} beats")
        super().__init__({
            "i": In(stream.Signature(beat_bits)),
            "o": Out(stream.Signature(at_once * beat_bits)),
            **corrupt_port(parity),
        })

    def build(self, m, platform):
        queue = StreamFifo(self.at_once * self.beat_bits, self.beats // self.at_once, self.parity)
        queue.place(m, "queue", platform)
        feed(m, queue, self, *corrupt_port(self.parity))
        group = Signal(self.at_once * self.beat_bits, reset_less=True)
        held = Signal(range(self.at_once + 1))
        full = held == self.at_once
        take, room = Signal(), Signal()
        m.d.sync += room.eq(queue.level < queue.depth - ON_THEIR_WAY + 1)
        m.d.comb += [
            self.i.ready.eq(room),
            take.eq(self.i.valid & self.i.ready),
            queue.i.payload.eq(group),
            queue.i.valid.eq(full),
        ]
        join(m, queue.o, self.o)
        with m.If(take):
            m.d.sync += group.eq(Cat(group, self.i.payload)[self.beat_bits :])
        with m.If(full):
            m.d.sync += held.eq(take)
        with m.Elif(take):
            m.d.sync += held.eq(held + 1)
