"""Writes rows of the vector memory to system memory."""

from amaranth import Signal
from amaranth.lib.wiring import Out

from einloom.hw.bus.window import OFFSET_BITS
from einloom.hw.core.layouts import FLOAT_BITS, TOKEN_BITS, WORD_ADDRESS_BITS, unit_ports, writer_ports
from einloom.hw.core.transfer import Transfer
from einloom.hw.core.vector_memory import READ_LATENCY
from einloom.hw.isa_layout import decoded
from einloom.hw.part import Part
from einloom.hw.vector.slot import read_port


class RowStore(Part):
    """Carries out `store` (spec/isa.py): a request for each token's row; complete when memory has answered all.

    A word of `lanes` float32 is lanes * 32 / beat_bits beats. Throughput: it takes as many cycles and READ_LATENCY + 1
    to fetch it, and longer while the vector unit uses the memory's port; a row begins when the one before is answered.
    Latency: 1 cycle from an instruction to its first request, READ_LATENCY + 2 from that to the first beat.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    word : Out, a port of the vector memory
    request, beats, answered : to a write master of the system window
    """

    def __init__(self, lanes: int, beat_bits: int):
        super().__init__({**unit_ports(), "word": Out(read_port(lanes, shared=True)), **writer_ports(beat_bits)})

    def build(self, m, platform):
        i = decoded(self.instruction.payload, "store")
        beats = self.lanes * FLOAT_BITS // self.beat_bits
        transfer = Transfer(m, self)
        token = Signal(TOKEN_BITS)
        index = Signal.like(i.words)
        row = Signal(OFFSET_BITS)  # beats from the table's start to the row's
        base = Signal(WORD_ADDRESS_BITS)  # words from the first token's to this one's
        nothing = (i.words == 0) | (self.chunk.tokens == 0)
        last_row = token == self.chunk.tokens - 1
        last_word = index == i.words - 1
        fetched, last_part = self._words(m, transfer, beats)
        transfer.run(
            start=self.instruction.valid & ~nothing,
            fetched=fetched,
            last_beat=last_part & last_word,
            refetch=last_part,
            again=~last_row,
        )
        m.d.comb += [
            self.busy.eq(~transfer.idle),
            self.request.payload.offset.eq((i.offset + row) << (self.beat_bits // 8).bit_length() - 1),
            self.request.payload.beats.eq(i.words * beats),
            self.word.address.eq(i.a_base + base + index),
            self.instruction.ready.eq((transfer.idle & nothing) | transfer.done),
        ]
        with m.If(transfer.idle):
            m.d.sync += [token.eq(0), row.eq(0), base.eq(0), index.eq(0)]
        with m.If(transfer.beat & last_part):
            m.d.sync += index.eq(index + 1)
            with m.If(last_word):
                m.d.sync += index.eq(0)
        with m.If(transfer.answer & self.answered):
            m.d.sync += [token.eq(token + 1), row.eq(row + i.stride), base.eq(base + i.a_token)]

    def _words(self, m, transfer, beats):
        """Fetch a word and shift it out by beats; (the word is there, the beat is its last)."""
        word = Signal(self.lanes * FLOAT_BITS, reset_less=True)
        part = Signal(range(max(beats, 2)))
        waited = Signal(range(READ_LATENCY + 1))  # cycles since the read was granted
        fetched = waited == READ_LATENCY
        m.d.comb += [
            self.word.read.eq(transfer.fetch & (waited == 0)),
            self.beats.payload.data.eq(word),
            self.beats.payload.strobe.eq(~0),
        ]
        with m.If(transfer.fetch):
            m.d.sync += part.eq(0)
            with m.If(fetched):
                m.d.sync += [word.eq(self.word.data), waited.eq(0)]
            with m.Elif((waited != 0) | self.word.granted):
                m.d.sync += waited.eq(waited + 1)
        with m.If(transfer.beat):
            m.d.sync += [part.eq(part + 1), word.eq(word >> self.beat_bits)]
        return fetched, part == beats - 1
