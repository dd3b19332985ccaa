"""What a job came to, written to memory when it has ended."""

from amaranth import Module, Signal
from amaranth.lib import enum, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.axi import beat_bytes
from einloom.hw.bus.window import request_layout
from einloom.hw.bus.write_master import strobed_layout
from einloom.hw.part import Part

NUMBER_BITS = 64
PLACE_BITS = 40  # of a beat in the window


class _Step(enum.Enum, shape=2):
    IDLE = 0
    REQUEST = 1
    SEND = 2
    ANSWER = 3


class Reporter(Part):
    """Writes `numbers` numbers of 64 bits, low byte first, behind each other from a beat of the system window on.

    The host can then learn of a job with the same transfer that brings its results, where a driver offers it no way to
    read registers. The beats follow `start` by two cycles, one in each, as fast as the master takes them.

    Members
    -------
    start : In(1), high up to `done`
    beat : In, `contents` : In, the first number lowest; stable while `start` is high
    request : Out, stream for a WriteMaster
    beats : Out, stream
    answered : In(1), from the master
    done : Out(1), a pulse
    """

    def __init__(self, numbers: int, beat_bits: int):
        super().__init__({
            "start": In(1),
            "beat": In(PLACE_BITS),
            "contents": In(numbers * NUMBER_BITS),
            "request": Out(stream.Signature(request_layout())),
            "beats": Out(stream.Signature(strobed_layout(beat_bits))),
            "answered": In(1),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        beats = -(-self.numbers * NUMBER_BITS // self.beat_bits)
        step = Signal(_Step)
        sent = Signal(range(beats))
        padded = Signal(beats * self.beat_bits)
        strobes = beat_bytes(self.beat_bits)
        m.d.comb += [
            padded.eq(self.contents),
            self.request.valid.eq(step == _Step.REQUEST),
            self.request.payload.offset.eq(self.beat << (strobes - 1).bit_length()),
            self.request.payload.beats.eq(beats),
            self.beats.valid.eq(step == _Step.SEND),
            self.beats.payload.data.eq(padded.word_select(sent, self.beat_bits)),
            self.beats.payload.strobe.eq(~0),
            self.done.eq((step == _Step.ANSWER) & self.answered),
        ]
        with m.Switch(step):
            with m.Case(_Step.IDLE):
                with m.If(self.start):
                    m.d.sync += step.eq(_Step.REQUEST)
            with m.Case(_Step.REQUEST):
                with m.If(self.request.ready):
                    m.d.sync += [step.eq(_Step.SEND), sent.eq(0)]
            with m.Case(_Step.SEND):
                with m.If(self.beats.ready):
                    m.d.sync += sent.eq(sent + 1)
                    with m.If(sent == beats - 1):
                        m.d.sync += step.eq(_Step.ANSWER)
            with m.Case(_Step.ANSWER):
                with m.If(self.answered):
                    m.d.sync += step.eq(_Step.IDLE)
        return m
