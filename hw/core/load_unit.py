"""The unit that fetches rows of memory: embeddings, rotations, parameters, token ids."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.read_master import beat_layout
from einloom.hw.bus.window import OFFSET_BITS, request_layout
from einloom.hw.core.layouts import FLOAT_BITS, TOKEN_BITS, WORD_ADDRESS_BITS, unit_ports, word_layout
from einloom.hw.isa_layout import instruction_layout
from einloom.hw.part import Part
from einloom.spec.isa import BY_NAME, HEADER, Rows

ROW_BITS = 25  # of a row's number: a position or a token's id


class _Step(enum.Enum, shape=2):
    IDLE = 0
    MULTIPLY = 1
    REQUEST = 2


class LoadUnit(Part):
    """Carries out `load` and `ids` (spec/isa.py).

    A row is requested every four cycles, and its beats become words as they come, so long rows run at the port's
    speed. The ids of the chunk's tokens stay in registers.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    request, beats : to and from a read master of the system window
    result : Out, stream of words for the vector memory
    """

    def __init__(self, tokens: int, lanes: int, beat_bits: int):
        super().__init__({
            **unit_ports(),
            "request": Out(stream.Signature(request_layout())),
            "beats": In(stream.Signature(beat_layout(beat_bits))),
            "result": Out(stream.Signature(word_layout(lanes))),
        })

    def elaborate(self, platform):
        m = Module()
        layout = instruction_layout("load")
        i = data.View(layout, self.instruction.payload[: layout.size])
        is_ids = Signal()
        opcode = self.instruction.payload[: HEADER[0].bits]
        m.d.comb += [is_ids.eq(opcode == BY_NAME["ids"].code), self.busy.eq(self.instruction.valid)]
        ids = Array(Signal(ROW_BITS, name=f"id_{n}") for n in range(self.tokens))
        rows = Signal(TOKEN_BITS)
        words = Signal.like(i.words)
        single = Signal()
        m.d.comb += [
            single.eq(~is_ids & (i.rows == Rows.ONE)),
            rows.eq(Mux(single, 1, self.chunk.tokens)),
            words.eq(i.words),
        ]
        requested = self._requests(m, i, is_ids, single, rows, ids)
        received = self._words(m, i, is_ids, rows, words, ids)
        nothing = (rows == 0) | (~is_ids & (words == 0))
        m.d.comb += self.instruction.ready.eq(nothing | (requested & received))
        return m

    def _requests(self, m, i, is_ids, single, rows, ids):
        """Ask for row after row; returns whether all are asked for."""
        step = Signal(_Step)
        token = Signal(TOKEN_BITS)
        row = Signal(ROW_BITS, reset_less=True)
        product = Signal(OFFSET_BITS, reset_less=True)
        stride = Signal.like(i.stride, reset_less=True)
        beats = self.lanes * FLOAT_BITS // self.beat_bits
        done = Signal()
        m.d.comb += [
            self.request.valid.eq(step == _Step.REQUEST),
            self.request.payload.offset.eq((i.offset + product) << (self.beat_bits // 8).bit_length() - 1),
            self.request.payload.beats.eq(Mux(is_ids, 1, i.words * beats)),
            done.eq(token == rows),
        ]
        m.d.sync += product.eq(row * stride)
        with m.Switch(step):
            with m.Case(_Step.IDLE):
                m.d.sync += [
                    row.eq(Mux(~is_ids & (i.rows == Rows.TOKENS), ids[token], self.chunk.position + token)),
                    stride.eq(Mux(is_ids, 1, Mux(single, 0, i.stride))),
                ]
                with m.If(self.instruction.valid & ~done & (is_ids | (i.words != 0))):
                    m.d.sync += step.eq(_Step.MULTIPLY)
            with m.Case(_Step.MULTIPLY):
                m.d.sync += step.eq(_Step.REQUEST)
            with m.Case(_Step.REQUEST):
                with m.If(self.request.ready):
                    m.d.sync += [step.eq(_Step.IDLE), token.eq(token + 1)]
        with m.If(self.instruction.ready):
            m.d.sync += [token.eq(0), step.eq(_Step.IDLE)]
        return done

    def _words(self, m, i, is_ids, rows, words, ids):
        """Beats into words and ids; returns whether all have left."""
        count = self.lanes * FLOAT_BITS // self.beat_bits
        word = Signal(self.lanes * FLOAT_BITS, reset_less=True)
        part = Signal(range(max(count, 2)))
        full = Signal()
        token = Signal(TOKEN_BITS)
        index = Signal.like(words)
        row_base = Signal(WORD_ADDRESS_BITS)
        done = Signal()
        take = Signal()
        m.d.comb += [
            done.eq((token == rows) & ~full),
            self.beats.ready.eq(self.instruction.valid & (token != rows) & (~full | self.result.ready)),
            take.eq(self.beats.valid & self.beats.ready),
            self.result.valid.eq(full),
            self.result.payload.data.eq(word),
        ]
        with m.If(self.result.ready):
            m.d.sync += full.eq(0)
        with m.If(take):
            m.d.sync += word.eq(Cat(word, self.beats.payload.data)[-len(word) :])
            with m.If(is_ids):
                m.d.sync += [ids[token].eq(self.beats.payload.data[:ROW_BITS]), token.eq(token + 1)]
            with m.Else():
                m.d.sync += part.eq(part + 1)
                with m.If(part == count - 1):
                    m.d.sync += [
                        part.eq(0),
                        full.eq(1),
                        self.result.payload.address.eq(i.d_base + row_base + index),
                        index.eq(index + 1),
                    ]
                    with m.If(index == words - 1):
                        m.d.sync += [index.eq(0), token.eq(token + 1), row_base.eq(row_base + i.d_token)]
        with m.If(self.instruction.ready):
            m.d.sync += [token.eq(0), index.eq(0), part.eq(0), row_base.eq(0)]
        return done
