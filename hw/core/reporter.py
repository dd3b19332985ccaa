"""Writes a job's numbers to memory when the job has ended."""

from amaranth import Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.axi import beat_bytes
from einloom.hw.core.layouts import writer_ports
from einloom.hw.core.transfer import Transfer
from einloom.hw.part import Part

NUMBER_BITS = 64
PLACE_BITS = 40  # number of a beat in the window


class Reporter(Part):
    """Writes `numbers` numbers of 64 bits, low byte first, one behind the other, from a beat of the system window on.

    A host whose driver cannot read registers learns of a job with the transfer that brings its results. Throughput: a
    beat every cycle. Latency: 2 cycles from `start` to the first beat.

    Members
    -------
    start : In(1), high up to `done`
    beat : In, where the numbers go; `contents` : In, the first number lowest; both stable while `start` is high
    request, beats, answered : to a write master of the system window
    done : Out(1), a pulse
    """

    def __init__(self, numbers: int, beat_bits: int):
        super().__init__({
            "start": In(1),
            "beat": In(PLACE_BITS),
            "contents": In(numbers * NUMBER_BITS),
            **writer_ports(beat_bits),
            "done": Out(1),
        })

    def build(self, m, platform):
        beats = -(-self.numbers * NUMBER_BITS // self.beat_bits)
        sent = Signal(range(beats))
        padded = Signal(beats * self.beat_bits)
        transfer = Transfer(m, self)
        transfer.run(start=self.start, last_beat=sent == beats - 1)
        m.d.comb += [
            padded.eq(self.contents),
            self.request.payload.offset.eq(self.beat << (beat_bytes(self.beat_bits) - 1).bit_length()),
            self.request.payload.beats.eq(beats),
            self.beats.payload.data.eq(padded.word_select(sent, self.beat_bits)),
            self.beats.payload.strobe.eq(~0),
            self.done.eq(transfer.done),
        ]
        with m.If(transfer.request & self.request.ready):
            m.d.sync += sent.eq(0)
        with m.Elif(transfer.beat):
            m.d.sync += sent.eq(sent + 1)
