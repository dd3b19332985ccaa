"""A register map as data: the hardware that answers it, the host that writes it and the documents all read this."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

ARGUMENTS = 0x10
"""Offset of the first register; below lie those of `ap_ctrl_hs`, which every Vitis kernel has."""
WORD_BYTES = 4
WORD_BITS = 8 * WORD_BYTES
MAX_BITS = 2 * WORD_BITS

# The control registers of ap_ctrl_hs: their offsets, and the bits of CTRL.
CTRL, GIER, IP_IER, IP_ISR = 0x00, 0x04, 0x08, 0x0C
AP_START, AP_DONE, AP_IDLE, AP_READY, AUTO_RESTART, INTERRUPT = 0, 1, 2, 3, 7, 9


class Register(BaseModel):
    """A register of up to 64 bits; above 32, its high word follows at the next offset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    offset: int
    bits: int
    access: Literal["rw", "ro"]
    """Access of the host: it drives `rw` registers, the design drives `ro` ones."""
    description: str

    @property
    def words(self) -> int:
        return -(-self.bits // WORD_BITS)


RegisterTable = tuple[Register, ...]


def lay_out(registers: Iterable[tuple[str, int, Literal["rw", "ro"], str]]) -> RegisterTable:
    """A table of (name, bits, access, description) with the offsets that Vitis gives to a kernel's arguments.

    Each register is followed by one unused word, in which HLS kernels have control bits.
    """
    table, offset = [], ARGUMENTS
    for name, bits, access, description in registers:
        register = Register(name=name, offset=offset, bits=bits, access=access, description=description)
        table.append(register)
        offset += (register.words + 1) * WORD_BYTES
    return check_table(table)


def check_table(registers: Sequence[Register]) -> RegisterTable:
    """The registers as a table; ValueError when they cannot be one."""
    taken: dict[int, str] = {}
    names: set[str] = set()
    for register in registers:
        name = register.name
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"register {name!r}: a name must be lower case, digits and underscores")
        if name in names:
            raise ValueError(f"register {name}: the name is taken")
        if not 1 <= register.bits <= MAX_BITS:
            raise ValueError(f"register {name}: bits must be 1 to {MAX_BITS}, not {register.bits}")
        if register.offset % WORD_BYTES or register.offset < ARGUMENTS:
            raise ValueError(
                f"register {name}: the offset must be a multiple of {WORD_BYTES} from {ARGUMENTS:#x} on, "
                f"not {register.offset:#x}"
            )
        for word in range(register.words):
            offset = register.offset + word * WORD_BYTES
            if offset in taken:
                raise ValueError(f"register {name}: {offset:#x} is taken by {taken[offset]}")
            taken[offset] = name
        names.add(name)
    return tuple(registers)
