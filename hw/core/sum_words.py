"""Integer sums on their way to the vector memory."""

from amaranth import Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.core.float_words import FloatWords
from einloom.hw.core.layouts import TOKEN_BITS, WORD_ADDRESS_BITS, word_layout
from einloom.hw.isa_layout import field_bits
from einloom.hw.part import Part
from einloom.hw.wires import join, members

TILE_BITS = field_bits("gemm", "tiles")


class SumWords(Part):
    """Cuts beats of `columns` integers into words of `lanes` float32, with their addresses.

    There is a beat for each tile and, in a tile, for each token. The words of token t and tile k begin at
    base + t * stride + k * columns / lanes. Throughput: a word a cycle; a beat is taken when the one before is cut up.
    Latency: 6 cycles from a beat to its first word.

    Parameters
    ----------
    columns : integers of a beat, a multiple of `lanes`.
    sum_bits : of an integer.
    lanes : of a word.

    Members
    -------
    start : In(1), a product begins, whose numbers are stable up to `done`
    base, stride : In, address of the first word, and words from one token to the next
    tokens, tiles : In, of the product, not 0
    sums : In, stream of beats
    words : Out, stream
    done : Out(1), the last word is taken
    """

    def __init__(self, columns: int, sum_bits: int, lanes: int):
        super().__init__({
            "start": In(1),
            **members(In, "base", "stride", shape=WORD_ADDRESS_BITS),
            "tokens": In(TOKEN_BITS),
            "tiles": In(TILE_BITS),
            "sums": In(stream.Signature(columns * sum_bits)),
            "words": Out(stream.Signature(word_layout(lanes))),
            "done": Out(1),
        })

    def build(self, m, platform):
        slices, slice_bits = self.columns // self.lanes, self.lanes * self.sum_bits
        floats = FloatWords(self.lanes, self.sum_bits).place(m, "floats", platform)
        beat = Signal(self.columns * self.sum_bits, reset_less=True)
        left = Signal(range(slices + 1))  # slices of `beat` that are still to come
        token, tile = Signal(TOKEN_BITS), Signal(TILE_BITS)
        tile_base, address = Signal(WORD_ADDRESS_BITS), Signal(WORD_ADDRESS_BITS)
        row = Signal(WORD_ADDRESS_BITS)  # first word of the token that comes next
        final = Signal()  # `beat` is the last one
        move = Signal()
        integers = floats.integers
        m.d.comb += [
            integers.valid.eq(left != 0),
            integers.payload.integers.eq(beat[:slice_bits]),
            integers.payload.address.eq(address),
            integers.payload.last.eq(final & (left == 1)),
            move.eq(integers.valid & integers.ready),
            self.sums.ready.eq((left == 0) | ((left == 1) & move)),
            self.done.eq(floats.done),
        ]
        join(m, floats.words, self.words)
        with m.If(move):
            m.d.sync += [left.eq(left - 1), beat.eq(beat >> slice_bits), address.eq(address + 1)]
        with m.If(self.sums.valid & self.sums.ready):
            m.d.sync += [
                beat.eq(self.sums.payload),
                left.eq(slices),
                address.eq(row),
                row.eq(row + self.stride),
                token.eq(token + 1),
                final.eq((token == self.tokens - 1) & (tile == self.tiles - 1)),
            ]
            with m.If(token == self.tokens - 1):
                next_tile = tile_base + slices
                m.d.sync += [token.eq(0), tile.eq(tile + 1), tile_base.eq(next_tile), row.eq(next_tile)]
        with m.If(self.start):
            m.d.sync += [token.eq(0), tile.eq(0), tile_base.eq(self.base), row.eq(self.base)]
