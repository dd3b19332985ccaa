"""Multiplies the codes of keys and values by the scales of their tokens."""

from amaranth import Cat, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.wires import members
from einloom.spec.cache_format import SCALE_BITS, SCALE_BYTES, CacheFormat

BYTE = 8
SCALED_BITS = 16


def element_bits(cache: CacheFormat) -> int:
    """Width of an element for the attention engine."""
    return SCALED_BITS if cache.token_scales else BYTE


def codes_layout(cache: CacheFormat) -> data.StructLayout:
    """A byte of the headers of all rows, or a code of all rows, row 0 lowest."""
    return data.StructLayout({
        "header": 1,  # `bytes` are taken, and otherwise `elements`
        "is_values": 1,
        "bytes": cache.rows * BYTE,
        "elements": cache.rows * BYTE,  # codes, their signs extended
    })


class TokenScales(Part):
    """element[m] = round(code[m] * scale[m] / 2^scale_shift), half up, for each row m of a tile (spec/cache_format.py).

    The scales are the last bytes of the tile's headers, which come before its codes. One multiplier of 8 x SCALE_BITS
    bits for each row serves all columns of the attention array, so neither the score nor the probability has a step of
    its own for them. Throughput: a header's byte or an element a cycle. Latency: 1 cycle.
    Source: scales per token, KIVI (2024) and QuaRot (2024); there a scale multiplies what was read too.

    Parameters
    ----------
    cache : the tiles in memory.

    Members
    -------
    codes : In, stream of `codes_layout`
    keys, values : Out, streams, SCALED_BITS for each row
    """

    def __init__(self, cache: CacheFormat):
        super().__init__({
            "codes": In(stream.Signature(codes_layout(cache))),
            **members(Out, "keys", "values", shape=stream.Signature(cache.rows * SCALED_BITS)),
        })

    def build(self, m, platform):
        codes, rows, shift = self.codes.payload, self.cache.rows, self.cache.scale_shift
        full, is_values = Signal(), Signal()  # an element waits; it is one of values
        elements = Signal(rows * SCALED_BITS, reset_less=True)
        gone = Mux(is_values, self.values.ready, self.keys.ready)
        m.d.comb += [
            self.codes.ready.eq(codes.header | ~full | gone),
            self.keys.valid.eq(full & ~is_values),
            self.values.valid.eq(full & is_values),
            self.keys.payload.eq(elements),
            self.values.payload.eq(elements),
        ]
        products = []
        for row in range(rows):
            scale = Signal(SCALE_BYTES * BYTE, name=f"scale_{row}", reset_less=True)
            with m.If(self.codes.valid & codes.header):
                m.d.sync += scale.eq(Cat(scale[BYTE:], codes.bytes.word_select(row, BYTE)))
            code = Signal(signed(BYTE), name=f"code_{row}")
            product = Signal(signed(BYTE + SCALE_BITS), name=f"product_{row}")
            m.d.comb += [
                code.eq(codes.elements.word_select(row, BYTE)),
                product.eq(code * scale[:SCALE_BITS] + ((1 << shift) >> 1)),
            ]
            products.append((product >> shift)[:SCALED_BITS])
        with m.If(self.codes.valid & self.codes.ready & ~codes.header):
            m.d.sync += [full.eq(1), is_values.eq(codes.is_values), elements.eq(Cat(products))]
        with m.Elif(gone):
            m.d.sync += full.eq(0)
