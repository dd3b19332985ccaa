"""The instructions of spec/isa.py as the hardware sees them."""

from amaranth.lib import data

from einloom.spec.isa import BY_NAME, HEADER

HEADER_LAYOUT = data.StructLayout({field.name: field.bits for field in HEADER})


def instruction_layout(opcode: str) -> data.StructLayout:
    """The header and the operands of `opcode` in the order of the table, so from bit 0 of the encoded instruction.

    Unused bits at the end of an instruction are left out. Every field is unsigned, whatever its names.
    """
    return data.StructLayout({field.name: field.bits for field in (*HEADER, *BY_NAME[opcode].fields)})


def decoded(instruction, opcode: str):
    """A view of the encoded `instruction` with the fields of `opcode`."""
    layout = instruction_layout(opcode)
    return data.View(layout, instruction[: layout.size])


def field_bits(opcode: str, field: str) -> int:
    """Width of a field of `opcode`."""
    return instruction_layout(opcode)[field].width
