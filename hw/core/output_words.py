"""Attention's outputs, cut into words for the vector memory."""

from amaranth import Cat, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import registered
from einloom.hw.core.float_words import integers_layout
from einloom.hw.core.layouts import TOKEN_BITS, WORD_ADDRESS_BITS
from einloom.hw.isa_layout import field_bits
from einloom.hw.part import Part
from einloom.spec.attention_format import OUTPUT_BITS

HEAD_BITS = field_bits("attend", "value_head")

# Place of a block's outputs: the first word, the strides of tokens and heads, and how many of each there are.
BLOCK = data.StructLayout({
    "base": WORD_ADDRESS_BITS,
    "token": WORD_ADDRESS_BITS,
    "outer": WORD_ADDRESS_BITS,
    "tokens": TOKEN_BITS,
    "group": HEAD_BITS,
    "value_head": HEAD_BITS,
})


class OutputWords(Part):
    """Turns outputs into words: from one element of all columns to `lanes` elements of one column.

    The engine gives element f of every column at once. `lanes` elements gather in a shift register for each column.
    Then the columns that hold a query leave one after the other, token by token and head by head, as words at
    base + token * token stride + head * outer stride + word of the head.

    Throughput: `lanes` elements take `lanes` cycles and one for each query, in which the dividers compute the next.
    Latency: 1 cycle from a word's last elements to its first query's word.

    Parameters
    ----------
    columns : of the engine.
    lanes : elements of a word.

    Members
    -------
    start : In(1), a block begins; `block` is stable up to its last word, and outputs of the next one wait
    outputs : In, stream, for each element those of all columns
    words : Out, stream of `integers_layout`
    """

    def __init__(self, columns: int, lanes: int):
        super().__init__({
            "start": In(1),
            "block": In(BLOCK),
            "outputs": In(stream.Signature(columns * OUTPUT_BITS)),
            "words": Out(stream.Signature(integers_layout(lanes, OUTPUT_BITS))),
        })

    def build(self, m, platform):
        columns = [Signal(self.lanes * OUTPUT_BITS, name=f"column_{n}", reset_less=True) for n in range(self.columns)]
        gathered = Signal(range(self.lanes + 1))
        word = Signal(HEAD_BITS)  # of each head
        token, head = Signal(TOKEN_BITS), Signal(HEAD_BITS)
        token_base, head_base = Signal(WORD_ADDRESS_BITS), Signal(WORD_ADDRESS_BITS)
        take, move = Signal(), Signal()
        active = Signal()
        last_head, last_token, last_word = Signal(), Signal(), Signal()
        # Registers, which are right long before a block's first word.
        words = self.block.value_head >> (self.lanes - 1).bit_length()
        final_head, final_token, final_word = (
            registered(m, f"final_{name}", count - 1, bits)
            for name, count, bits in (
                ("head", self.block.group, HEAD_BITS),
                ("token", self.block.tokens, TOKEN_BITS),
                ("word", words, HEAD_BITS),
            )
        )
        m.d.comb += [
            self.outputs.ready.eq(active & (gathered != self.lanes)),
            take.eq(self.outputs.valid & self.outputs.ready),
            self.words.valid.eq(gathered == self.lanes),
            move.eq(self.words.valid & self.words.ready),
            self.words.payload.integers.eq(columns[0]),
            self.words.payload.address.eq(head_base + word),
            self.words.payload.last.eq(last_head & last_token & last_word),
        ]
        with m.If(take):
            m.d.sync += gathered.eq(gathered + 1)
            for n, column in enumerate(columns):
                element = self.outputs.payload.word_select(n, OUTPUT_BITS)
                m.d.sync += column.eq(Cat(column[OUTPUT_BITS:], element))
        # Numbers of the next cycle, which are compared a cycle ahead.
        next_head, next_token, next_word = (
            Signal.like(number, name=f"next_{name}")
            for name, number in (("head", head), ("token", token), ("word", word))
        )
        m.d.comb += [next_head.eq(head), next_token.eq(token), next_word.eq(word)]
        m.d.sync += [head.eq(next_head), token.eq(next_token), word.eq(next_word)]
        m.d.sync += [
            last_head.eq(next_head == final_head),
            last_token.eq(next_token == final_token),
            last_word.eq(next_word == final_word),
        ]
        with m.If(move):
            m.d.comb += next_head.eq(head + 1)
            m.d.sync += head_base.eq(head_base + self.block.outer)
            m.d.sync += [here.eq(there) for here, there in zip(columns, columns[1:], strict=False)]
            with m.If(last_head):
                following = token_base + self.block.token
                m.d.comb += [next_head.eq(0), next_token.eq(token + 1)]
                m.d.sync += [token_base.eq(following), head_base.eq(following)]
                with m.If(last_token):
                    m.d.comb += [next_token.eq(0), next_word.eq(word + 1)]
                    m.d.sync += [
                        token_base.eq(self.block.base),
                        head_base.eq(self.block.base),
                        gathered.eq(0),
                    ]
        # The next block's outputs may be there while the last words still wait for the vector memory.
        with m.If(move & self.words.payload.last):
            m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.comb += [next_head.eq(0), next_token.eq(0), next_word.eq(0)]
            m.d.sync += [
                active.eq(1),
                gathered.eq(0),
                token_base.eq(self.block.base),
                head_base.eq(self.block.base),
            ]
