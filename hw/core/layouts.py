"""Ports and layouts that the units of a core share."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.read_master import beat_layout
from einloom.hw.bus.window import request_layout
from einloom.hw.bus.write_master import strobed_layout
from einloom.hw.isa_layout import HEADER_LAYOUT, field_bits
from einloom.spec.isa import INSTRUCTION_BITS
from einloom.spec.token_table import NUMBER_BYTES, POSITION_BITS

WORD_ADDRESS_BITS = field_bits("gemm", "d_base")  # address in a memory on the chip
TOKEN_BITS = HEADER_LAYOUT["first"].width  # number of a token in its chunk
INDEX_BITS = 32  # number of an instruction
FLOAT_BITS = 32

PLACE_BITS = 8 * NUMBER_BYTES  # of a sequence's keys and values, in beats

# The tokens that a chunk takes from the table of tokens: the first one's row, their number, and whether no chunk
# follows.
TABLE_ROWS = data.StructLayout({"row": POSITION_BITS, "tokens": TOKEN_BITS, "last": 1})
# The tokens at work: the position of the first, their number, whether no chunk follows, and their sequence's place.
CHUNK = data.StructLayout({"position": POSITION_BITS, "tokens": TOKEN_BITS, "last": 1, "place": PLACE_BITS})


def word_layout(lanes: int) -> data.StructLayout:
    """A word of the vector memory and the address where it is written."""
    return data.StructLayout({"address": WORD_ADDRESS_BITS, "data": lanes * FLOAT_BITS})


def unit_ports() -> dict:
    """Ports of every unit.

    `instruction` stays valid until `ready`, which means that it is complete; without an instruction `ready` means
    nothing. `chunk` has at least one token while an instruction is there. `busy` is 1 in cycles of useful work.
    """
    return {"instruction": In(stream.Signature(INSTRUCTION_BITS)), "chunk": In(CHUNK), "busy": Out(1)}


def reader_ports(beat_bits: int) -> dict:
    """Ports of a part that has a read master of the system window."""
    return {"request": Out(stream.Signature(request_layout())), "beats": In(stream.Signature(beat_layout(beat_bits)))}


def writer_ports(beat_bits: int) -> dict:
    """Ports of a part that has a write master of the system window; `answered` ends a request."""
    return {
        "request": Out(stream.Signature(request_layout())),
        "beats": Out(stream.Signature(strobed_layout(beat_bits))),
        "answered": In(1),
    }


def write_port(bits: int, **others: int) -> wiring.Signature:
    """The port through which the vector unit writes a word of `bits` in a cycle with `enable`; `others` go with it."""
    fields = {"enable": 1, "token": TOKEN_BITS, "address": WORD_ADDRESS_BITS, "data": bits, **others}
    return wiring.Signature({name: Out(width) for name, width in fields.items()})


def ring_mask(ring):
    """Ones where the number of a tile is its place in a ring, of the field `ring`, which is not 0."""
    return ((1 << ring) - 1)[1:]
