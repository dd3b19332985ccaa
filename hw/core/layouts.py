"""What the units of a core tell each other."""

from amaranth import Module
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.spec.isa import INSTRUCTION_BITS

WORD_ADDRESS_BITS = 16  # of the memories on the chip: the base fields of instructions
TOKEN_BITS = 8  # of a chunk: the field `first`
POSITION_BITS = 25  # of a sequence: attention.max_keys is at most 2^24
INDEX_BITS = 32  # of an instruction
FLOAT_BITS = 32

# The tokens at work: the position of the first, their number, and whether no chunk follows.
CHUNK = data.StructLayout({"position": POSITION_BITS, "tokens": TOKEN_BITS, "last": 1})


def word_layout(lanes: int) -> data.StructLayout:
    """A word on its way into the vector memory."""
    return data.StructLayout({"address": WORD_ADDRESS_BITS, "data": lanes * FLOAT_BITS})


def unit_ports() -> dict:
    """What every unit has: an instruction stays valid until `ready`, which is its completion and means nothing where
    there is none; the chunk at work, of at least one token then; and whether the unit does useful work in this cycle.
    """
    return {"instruction": In(stream.Signature(INSTRUCTION_BITS)), "chunk": In(CHUNK), "busy": Out(1)}


def join(m: Module, source, sink) -> None:
    """Connect two streams whose payloads are of the same width."""
    m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
