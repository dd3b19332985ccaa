"""The unit that fetches rows of memory: embeddings, rotations, parameters, and those of the table of tokens."""

from amaranth import Array, Cat, Const, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.window import OFFSET_BITS
from einloom.hw.core.layouts import (
    FLOAT_BITS,
    PLACE_BITS,
    TABLE_ROWS,
    TOKEN_BITS,
    WORD_ADDRESS_BITS,
    reader_ports,
    unit_ports,
    word_layout,
)
from einloom.hw.core.memory_client import MemoryClient
from einloom.hw.isa_layout import decoded
from einloom.hw.part import Part
from einloom.spec.isa import BY_NAME, Elements, Rows, Unit
from einloom.spec.token_table import ID_BITS, NUMBER_BYTES, POSITION_BITS

BFLOAT_BITS = FLOAT_BITS // 2


class LoadUnit(Part):
    """Carries out `load` and `tokens` (spec/isa.py).

    Throughput: a request every three cycles, in which a row's number is chosen, multiplied by the stride, and offered.
    Beats become words of `lanes` float32 as they come, so long rows run at the port's speed. A beat of bfloat16
    elements lasts two cycles, one for each half: a float32's lower 16 bits are zeros. Latency: 2 cycles from an
    instruction to its first request, 1 from a word's last beat to the word. The ids of the chunk's tokens stay in
    registers, and so do the position and the place of its first token; before `tokens` these are its row and 0.

    Parameters
    ----------
    tokens : of a chunk, at most.
    lanes, beat_bits : of the vector unit, of the port.

    Members
    -------
    instruction, busy : see `unit_ports`
    chunk : In, the chunk's rows of the table of tokens
    begins : In(1), no instruction of the chunk was given
    position, cache_place : Out, of the chunk's first token
    request, beats : to and from a read master of the system window
    result : Out, stream of words for the vector memory
    """

    memory = MemoryClient("load", Unit.LOAD)

    def __init__(self, tokens: int, lanes: int, beat_bits: int):
        super().__init__({
            **unit_ports(),
            "chunk": In(TABLE_ROWS),
            "begins": In(1),
            "position": Out(POSITION_BITS),
            "cache_place": Out(PLACE_BITS),
            **reader_ports(beat_bits),
            "result": Out(stream.Signature(word_layout(lanes))),
        })

    def build(self, m, platform):
        i = decoded(self.instruction.payload, "load")
        is_tokens, single, short = Signal(), Signal(), Signal()
        ids = Array(Signal(ID_BITS, name=f"id_{n}") for n in range(self.tokens))
        rows = Signal(TOKEN_BITS)
        words = Signal.like(i.words)
        m.d.comb += [
            is_tokens.eq(i.opcode == BY_NAME["tokens"].code),
            single.eq(~is_tokens & (i.rows == Rows.ONE)),
            short.eq(~is_tokens & (i.elements == Elements.BFLOAT16)),
            rows.eq(Mux(single, 1, self.chunk.tokens)),
            words.eq(i.words),
            self.busy.eq(self.instruction.valid),
        ]
        requested = self._requests(m, i, is_tokens, single, short, rows, ids)
        received = self._words(m, i, is_tokens, short, rows, words, ids)
        with m.If(self.begins):
            m.d.sync += [self.position.eq(self.chunk.row), self.cache_place.eq(0)]
        nothing = (rows == 0) | (~is_tokens & (words == 0))
        m.d.comb += self.instruction.ready.eq(nothing | (requested & received))

    def _requests(self, m, i, is_tokens, single, short, rows, ids):
        """Ask for one row after the other; returns whether all are asked for."""
        token = Signal(TOKEN_BITS)
        row = Signal(ID_BITS, reset_less=True)
        product = Signal(OFFSET_BITS, reset_less=True)
        stride = Signal.like(i.stride, reset_less=True)
        beats = self.lanes * FLOAT_BITS // self.beat_bits
        done = Signal()
        m.d.comb += [
            self.request.payload.offset.eq((i.offset + product) << (self.beat_bits // 8).bit_length() - 1),
            self.request.payload.beats.eq(Mux(is_tokens, 1, Mux(short, (i.words * beats + 1) >> 1, i.words * beats))),
            done.eq(token == rows),
        ]
        m.d.sync += product.eq(row * stride)
        with m.FSM():
            with m.State("idle"):
                m.d.sync += [
                    row.eq(
                        Mux(
                            ~is_tokens & (i.rows == Rows.TOKENS),
                            ids[token],
                            Mux(is_tokens, self.chunk.row, self.position) + token,
                        )
                    ),
                    stride.eq(Mux(is_tokens, 1, Mux(single, 0, i.stride))),
                ]
                with m.If(self.instruction.valid & ~done & (is_tokens | (i.words != 0))):
                    m.next = "multiply"
            with m.State("multiply"):
                m.next = "request"
            with m.State("request"):
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.d.sync += token.eq(token + 1)
                    m.next = "idle"
        with m.If(self.instruction.ready):  # an instruction without words, or one whose rows are all requested
            m.d.sync += token.eq(0)
        return done

    def _words(self, m, i, is_tokens, short, rows, words, ids):
        """Make beats words, or tokens; returns whether all have left."""
        count = self.lanes * FLOAT_BITS // self.beat_bits
        word = Signal(self.lanes * FLOAT_BITS, reset_less=True)
        part = Signal(range(max(count, 2)))
        full, done, take, second = Signal(), Signal(), Signal(), Signal()
        token = Signal(TOKEN_BITS)
        index = Signal.like(words)
        row_ends = (part == count - 1) & (index == words - 1)
        row_base = Signal(WORD_ADDRESS_BITS)
        m.d.comb += [
            done.eq((token == rows) & ~full),
            take.eq(self.beats.valid & self.instruction.valid & (token != rows) & (~full | self.result.ready)),
            self.beats.ready.eq(take & (~short | second | row_ends)),
            self.result.valid.eq(full),
            self.result.payload.data.eq(word),
        ]
        with m.If(self.result.ready):
            m.d.sync += full.eq(0)
        with m.If(take):
            m.d.sync += [
                word.eq(Cat(word, self._elements(short, second))[-len(word) :]),
                second.eq(short & ~second & ~row_ends),
            ]
            with m.If(is_tokens):
                id, position, place = (self.beats.payload.data.word_select(n, 8 * NUMBER_BYTES) for n in range(3))
                m.d.sync += [ids[token].eq(id), token.eq(token + 1)]
                with m.If(token == 0):
                    m.d.sync += [self.position.eq(position), self.cache_place.eq(place)]
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

    def _elements(self, short, second):
        """A beat's float32 elements, or those that one half of it holds as bfloat16."""
        data = self.beats.payload.data
        half = data.word_select(second, len(data) // 2)
        elements = [half.word_select(n, BFLOAT_BITS) for n in range(len(half) // BFLOAT_BITS)]
        return Mux(short, Cat(Cat(Const(0, BFLOAT_BITS), element) for element in elements), data)
