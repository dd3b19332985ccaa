"""Writes new keys or values into the tiles of the cache."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.banked_buffer import BankedBuffer
from einloom.hw.buffers.parity import connect_parity, parity_ports
from einloom.hw.bus.window import OFFSET_BITS, request_layout
from einloom.hw.bus.write_master import strobed_layout
from einloom.hw.core.layouts import POSITION_BITS, TOKEN_BITS, WORD_ADDRESS_BITS, unit_ports
from einloom.hw.isa_layout import instruction_layout
from einloom.hw.part import Part

BYTE = 8


class _Step(enum.Enum, shape=3):
    IDLE = 0
    MULTIPLY = 1
    REQUEST = 2
    PRIME = 3
    SEND = 4
    ANSWER = 5


class TileStore(Part):
    """Carries out `store_kv` (spec/isa.py), complete when memory has answered.

    Keys come as words of a token's elements, and gather in a staging buffer with a bank for each row of a tile. They
    leave as they lie in memory: byte e of all rows, for one e after the other, as strobed beats, one a cycle. Only
    the rows of the chunk's positions are written, in one tile or, when the chunk goes on in the next, in two. A cache
    of 4 bits has two elements in a byte, the even one lowest, so a byte always belongs to one key.

    Parameters
    ----------
    lanes, beat_bits : of the vector unit, of the port.
    rows : keys of a tile, a power of two, at least the tokens of a chunk.
    words : of the staging buffer, for each row.
    cache_bits : 4 or 8.
    parity : of the staging buffer's words.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    write, write_token, write_address, write_data : In, a word of `lanes` integers of a token of the chunk
    request, beats, answered : to a write master of the system window
    scrub, scrub_address, corrupt : see BankedBuffer
    """

    def __init__(self, lanes: int, beat_bits: int, rows: int, words: int, cache_bits: int, parity: bool):
        super().__init__({
            **unit_ports(),
            "write": In(1),
            "write_token": In(TOKEN_BITS),
            "write_address": In(WORD_ADDRESS_BITS),
            "write_data": In(lanes * cache_bits),
            "request": Out(stream.Signature(request_layout())),
            "beats": Out(stream.Signature(strobed_layout(beat_bits))),
            "answered": In(1),
            **parity_ports(parity),
        })

    def elaborate(self, platform):
        m = Module()
        layout = instruction_layout("store_kv")
        i = data.View(layout, self.instruction.payload[: layout.size])
        row_bits = (self.rows - 1).bit_length()
        step = Signal(_Step)
        tile = Signal(POSITION_BITS)
        second = Signal()  # of the two tiles
        first_row, end = Signal(range(self.rows)), Signal(range(2 * self.rows + 1))
        tile_bytes, tile_beats, product = Signal(24), Signal(24), Signal(OFFSET_BITS, reset_less=True)
        m.d.comb += [
            first_row.eq(self.chunk.position[:row_bits]),
            end.eq(first_row + self.chunk.tokens),  # rows behind the last, counted from the first tile's start
            tile_bytes.eq((i.elements >> (self.cache_bits == 4)) << row_bits),
            tile_beats.eq(tile_bytes >> (self.beat_bits // BYTE).bit_length() - 1),
        ]
        m.d.sync += [tile.eq((self.chunk.position >> row_bits) + second), product.eq(tile * tile_beats)]

        nothing = (tile_beats == 0) | (self.chunk.tokens == 0)
        finished = second | (end <= self.rows)
        sent = Signal.like(tile_beats)
        last_beat = sent == tile_beats - 1
        advance = Signal()
        self._beats(m, platform, i.base, step, advance, first_row, end, second)
        m.d.comb += [
            self.busy.eq(step != _Step.IDLE),
            self.request.valid.eq(step == _Step.REQUEST),
            self.request.payload.offset.eq((i.offset + product) << (self.beat_bits // BYTE).bit_length() - 1),
            self.request.payload.beats.eq(tile_beats),
            self.beats.valid.eq(step == _Step.SEND),
            advance.eq(self.beats.valid & self.beats.ready),
            self.instruction.ready.eq(
                ((step == _Step.IDLE) & nothing) | ((step == _Step.ANSWER) & self.answered & finished)
            ),
        ]
        settled = Signal(2)  # cycles since the tile's number changed: two registers to its product
        m.d.sync += settled.eq(Mux(step == _Step.MULTIPLY, settled + 1, 0))
        with m.Switch(step):
            with m.Case(_Step.IDLE):
                m.d.sync += second.eq(0)
                with m.If(self.instruction.valid & ~nothing):
                    m.d.sync += step.eq(_Step.MULTIPLY)
            with m.Case(_Step.MULTIPLY):
                with m.If(settled == 2):
                    m.d.sync += step.eq(_Step.REQUEST)
            with m.Case(_Step.REQUEST):
                with m.If(self.request.ready):
                    m.d.sync += [step.eq(_Step.PRIME), sent.eq(0)]
            with m.Case(_Step.PRIME):
                m.d.sync += step.eq(_Step.SEND)
            with m.Case(_Step.SEND):
                with m.If(advance):
                    m.d.sync += sent.eq(sent + 1)
                    with m.If(last_beat):
                        m.d.sync += step.eq(_Step.ANSWER)
            with m.Case(_Step.ANSWER):
                with m.If(self.answered):
                    m.d.sync += [second.eq(1), step.eq(Mux(finished, _Step.IDLE, _Step.MULTIPLY))]
        return m

    def _beats(self, m, platform, base, step, advance, first_row, end, second):
        """The staging buffer, and the beat and strobes that it makes."""
        word_bytes = self.lanes * self.cache_bits // BYTE
        at_once = max(1, self.beat_bits // (BYTE * self.rows))  # bytes of each row in a beat
        parts = max(1, BYTE * self.rows // self.beat_bits)  # beats of a byte of each row
        buffer = BankedBuffer(self.rows, self.words, word_bytes, BYTE, at_once, parity=self.parity)
        buffer = buffer.place(m, "staging", platform)
        if self.parity:
            connect_parity(m, self, buffer)
        address = Signal.like(buffer.read_address)
        part = Signal(range(max(parts, 2)))
        last_part = part == parts - 1
        m.d.comb += [
            buffer.write.eq(self.write),
            buffer.bank.eq(self.chunk.position + self.write_token),
            buffer.address.eq(self.write_address),
            buffer.data.eq(self.write_data),
            buffer.read.eq((step == _Step.PRIME) | (advance & last_part)),
            buffer.read_address.eq(address),
        ]
        with m.If(step == _Step.REQUEST):
            m.d.sync += [address.eq(base << (word_bytes // at_once).bit_length() - 1), part.eq(0)]
        with m.Elif(buffer.read):
            m.d.sync += address.eq(address + 1)
        with m.If(advance):
            m.d.sync += part.eq(Mux(last_part, 0, part + 1))

        low, high = Signal.like(end), Signal.like(end)
        m.d.comb += [
            low.eq(Mux(second, 0, first_row)),
            high.eq(Mux(second, end - self.rows, Mux(end > self.rows, self.rows, end))),
        ]
        written = Signal(self.rows)
        m.d.comb += written.eq(Cat((row >= low) & (row < high) for row in range(self.rows)))
        # The buffer gives bytes row by row; memory has them byte by byte of all rows.
        outputs = [
            buffer.elements.word_select(row * at_once + n, BYTE) for n in range(at_once) for row in range(self.rows)
        ]
        strobes = Cat(written for _ in range(at_once))
        m.d.comb += [
            self.beats.payload.data.eq(Cat(outputs).word_select(part, min(self.beat_bits, BYTE * self.rows * at_once))),
            self.beats.payload.strobe.eq(strobes.word_select(part, min(self.beat_bits // BYTE, self.rows * at_once))),
        ]
