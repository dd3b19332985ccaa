"""The instructions of spec/isa.py as the hardware sees them."""

from amaranth.lib import data

from einloom.spec.isa import BY_NAME, HEADER


def instruction_layout(opcode: str) -> data.StructLayout:
    """The header and the operands of `opcode` in the order of the table, so from bit 0 of the encoded instruction.

    Unused bits at the end of an instruction are left out. Every field is unsigned, whatever its names.
    """
    return data.StructLayout({field.name: field.bits for field in (*HEADER, *BY_NAME[opcode].fields)})
