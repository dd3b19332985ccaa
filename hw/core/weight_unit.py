"""The unit that fetches weights."""

from amaranth import Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Out

from einloom.hw.bus.window import request_layout
from einloom.hw.core.layouts import unit_ports
from einloom.hw.isa_layout import decoded
from einloom.hw.part import Part


class WeightUnit(Part):
    """Carries out `weights` (spec/isa.py): the same request to the master of every weight channel.

    An instruction is complete when all masters have taken the request. So requests run ahead of the GEMM engine as far
    as the masters' queues have room. Throughput: an instruction every cycle. Latency: none.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    requests : Out, a stream for each channel
    """

    def __init__(self, channels: int, beat_bits: int):
        super().__init__({**unit_ports(), "requests": Out(stream.Signature(request_layout())).array(channels)})

    def build(self, m, platform):
        i = decoded(self.instruction.payload, "weights")
        sent, taken = Signal(self.channels), Signal(self.channels)
        for n, request in enumerate(self.requests):
            m.d.comb += [
                request.valid.eq(self.instruction.valid & ~sent[n] & (i.beats != 0)),
                request.payload.offset.eq(i.offset << (self.beat_bits // 8).bit_length() - 1),
                request.payload.beats.eq(i.beats),
                taken[n].eq(sent[n] | request.ready | (i.beats == 0)),
            ]
        m.d.comb += [self.instruction.ready.eq(taken.all()), self.busy.eq(self.instruction.valid)]
        with m.If(self.instruction.ready):
            m.d.sync += sent.eq(0)
        with m.Elif(self.instruction.valid):
            m.d.sync += sent.eq(taken)
