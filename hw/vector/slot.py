"""Layouts of a slot: the control that goes through the vector unit with a word."""

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from einloom.hw.isa_layout import instruction_layout
from einloom.hw.vector.address import ADDRESS_BITS
from einloom.hw.vector.float32 import BITS
from einloom.hw.vector.integer_unit import OP_BITS, PEAK_CONTROL
from einloom.hw.vector.lane import Addend, Factor, Left, Right

INSTRUCTION = instruction_layout("vector")
TOKEN_BITS = INSTRUCTION["first"].width
OUTER_BITS = INSTRUCTION["outer"].width
COLUMN_BITS = 16  # (token mod 2^block) * outer + outer step is below 2^7 * 2^8
READS = ("a", "b", "c")

# The place of a result.
DESTINATION = data.StructLayout({
    "space": INSTRUCTION["space"].width,
    "token": TOKEN_BITS,
    "outer": OUTER_BITS,
    "address": ADDRESS_BITS,
    "column": COLUMN_BITS,
})
# The work of the lanes on a word, and the place of its result.
SLOT = data.StructLayout({
    "op": OP_BITS,
    "factor": Factor,
    "addend": Addend,
    "immediate": BITS,
    "negate": 1,
    "left": Left,
    "right": Right,
    "peak": PEAK_CONTROL,
    "integer": 1,
    "to_memory": 1,  # the result is a word of the vector memory
    "write": 1,
    "last": 1,  # of the instruction
    "signal": INSTRUCTION["signal"].width,
    "destination": DESTINATION,
})
# A slot, and the words that it reads.
CANDIDATE = data.StructLayout({
    "valid": 1,
    "alone": 1,  # it waits until all results are in the vector memory
    "unguarded": 1,  # it waits for nothing
    **{f"{p}_read": 1 for p in READS},
    **{f"{p}_address": ADDRESS_BITS for p in READS},
    "slot": SLOT,
})


def read_port(lanes: int, *, shared: bool = False) -> wiring.Signature:
    """A reader's port of the vector memory; a `shared` one waits until it is `granted`."""
    granted = {"granted": In(1)} if shared else {}
    return wiring.Signature({"address": Out(ADDRESS_BITS), "read": Out(1), **granted, "data": In(lanes * BITS)})
