"""Writes rows of the vector memory to system memory."""

from amaranth import Module, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.window import OFFSET_BITS, request_layout
from einloom.hw.bus.write_master import strobed_layout
from einloom.hw.core.layouts import FLOAT_BITS, TOKEN_BITS, WORD_ADDRESS_BITS, unit_ports
from einloom.hw.core.vector_memory import READ_LATENCY
from einloom.hw.isa_layout import instruction_layout
from einloom.hw.part import Part


class _Step(enum.Enum, shape=3):
    IDLE = 0
    REQUEST = 1
    READ = 2
    WAIT = 3
    SEND = 4
    ANSWER = 5


class RowStore(Part):
    """Carries out `store` (spec/isa.py): a row for each token of the chunk, complete when memory has answered.

    A word takes its beats and READ_LATENCY + 1 cycles, and longer while the vector unit uses the memory's port.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    address, read, granted, word : a read port of the vector memory
    request, beats, answered : to a write master of the system window
    """

    def __init__(self, lanes: int, beat_bits: int):
        super().__init__({
            **unit_ports(),
            "address": Out(WORD_ADDRESS_BITS),
            "read": Out(1),
            "granted": In(1),
            "word": In(lanes * FLOAT_BITS),
            "request": Out(stream.Signature(request_layout())),
            "beats": Out(stream.Signature(strobed_layout(beat_bits))),
            "answered": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        layout = instruction_layout("store")
        i = data.View(layout, self.instruction.payload[: layout.size])
        beats = self.lanes * FLOAT_BITS // self.beat_bits
        step = Signal(_Step)
        token = Signal(TOKEN_BITS)
        index = Signal.like(i.words)
        part = Signal(range(max(beats, 2)))
        waited = Signal(range(READ_LATENCY + 1))
        row = Signal(OFFSET_BITS)  # beats from the table's start to the row's
        base = Signal(WORD_ADDRESS_BITS)  # words from the first token's to this one's
        word = Signal(self.lanes * FLOAT_BITS, reset_less=True)
        nothing = (i.words == 0) | (self.chunk.tokens == 0)
        last_row = token == self.chunk.tokens - 1
        m.d.comb += [
            self.busy.eq(step != _Step.IDLE),
            self.request.valid.eq(step == _Step.REQUEST),
            self.request.payload.offset.eq((i.offset + row) << (self.beat_bits // 8).bit_length() - 1),
            self.request.payload.beats.eq(i.words * beats),
            self.address.eq(i.a_base + base + index),
            self.read.eq(step == _Step.READ),
            self.beats.valid.eq(step == _Step.SEND),
            self.beats.payload.data.eq(word),
            self.beats.payload.strobe.eq(~0),
            self.instruction.ready.eq(
                ((step == _Step.IDLE) & nothing) | ((step == _Step.ANSWER) & self.answered & last_row)
            ),
        ]
        with m.Switch(step):
            with m.Case(_Step.IDLE):
                m.d.sync += [token.eq(0), row.eq(0), base.eq(0), index.eq(0)]
                with m.If(self.instruction.valid & ~nothing):
                    m.d.sync += step.eq(_Step.REQUEST)
            with m.Case(_Step.REQUEST):
                with m.If(self.request.ready):
                    m.d.sync += step.eq(_Step.READ)
            with m.Case(_Step.READ):
                m.d.sync += [waited.eq(1), part.eq(0)]
                with m.If(self.granted):
                    m.d.sync += step.eq(_Step.WAIT)
            with m.Case(_Step.WAIT):
                m.d.sync += waited.eq(waited + 1)
                with m.If(waited == READ_LATENCY):
                    m.d.sync += [word.eq(self.word), step.eq(_Step.SEND)]
            with m.Case(_Step.SEND):
                with m.If(self.beats.ready):
                    m.d.sync += [part.eq(part + 1), word.eq(word >> self.beat_bits)]
                    with m.If(part == beats - 1):
                        m.d.sync += [index.eq(index + 1), step.eq(_Step.READ)]
                        with m.If(index == i.words - 1):
                            m.d.sync += [index.eq(0), step.eq(_Step.ANSWER)]
            with m.Case(_Step.ANSWER):
                with m.If(self.answered):
                    m.d.sync += [
                        token.eq(token + 1),
                        row.eq(row + i.stride),
                        base.eq(base + i.a_token),
                        step.eq(_Step.REQUEST),
                    ]
                    with m.If(last_row):
                        m.d.sync += step.eq(_Step.IDLE)
        return m
