"""Instructions of the core: values for the fields of spec/isa.py, as bytes and as lines of a listing."""

import math
import struct
from dataclasses import dataclass

import numpy as np

from einloom.spec.errors import InputError
from einloom.spec.isa import (
    BY_CODE,
    BY_NAME,
    HEADER,
    INSTRUCTION_BYTES,
    INTEGER_OPS,
    OPCODES,
    Field,
    Meaning,
    Opcode,
    Operand,
    VectorOp,
)
from einloom.spec.suggest import did_you_mean

_VALUES: dict[type[Meaning], frozenset[int]] = {
    field.names: frozenset(field.names)
    for field in (*HEADER, *(field for opcode in OPCODES for field in opcode.fields))
    if field.names is not None
}
"""Values with a meaning, by enumeration. Sets make the check quick, because programs have many instructions."""


@dataclass(frozen=True)
class Instruction:
    """One instruction with all its fields, the header's included; fields that are not given are 0."""

    opcode: Opcode
    values: dict[str, int]

    @classmethod
    def make(cls, name: str, **values: int) -> "Instruction":
        """An instruction by its name and fields; InputError when one is unknown, or a value doesn't fit.

        `checked` finds values without a meaning.
        """
        if name not in BY_NAME:
            raise InputError(f"there is no instruction {name!r}{did_you_mean(name, BY_NAME)}")
        opcode = BY_NAME[name]
        fields = {f.name: f for f in (*HEADER[1:], *opcode.fields)}
        for key, value in values.items():
            if key not in fields:
                raise InputError(f"{name} has no field {key!r}{did_you_mean(key, fields)}")
            if not 0 <= value < 1 << fields[key].bits:
                raise InputError(f"{name}: {key} = {value} doesn't fit into {fields[key].bits} bits")
        return cls(opcode, {"opcode": opcode.code} | {key: int(values.get(key, 0)) for key in fields})

    def checked(self) -> "Instruction":
        """The instruction itself; InputError when a field has a value without a meaning."""
        for field in (*HEADER, *self.opcode.fields):
            value = self.values[field.name]
            if field.mask and value & ~self.opcode.partners:
                raise InputError(f"{self.opcode.name}: {field.name} = {value:#x} has bits that mean no other unit")
            if field.names is not None and not field.mask and value not in _VALUES[field.names]:
                known = ", ".join(f"{member.value} {member.name.lower()}" for member in field.names)
                raise InputError(f"{self.opcode.name}: {field.name} = {value} has no meaning; it is one of {known}")
        return self

    def __getitem__(self, field: str) -> int:
        return self.values[field]

    def changed(self, **values: int) -> "Instruction":
        """The instruction with other values of some fields."""
        kept = {key: value for key, value in self.values.items() if key != "opcode"}
        return Instruction.make(self.opcode.name, **kept | values)

    def encode(self) -> bytes:
        """INSTRUCTION_BYTES, least significant byte first."""
        word, start = 0, 0
        for field in (*HEADER, *self.opcode.fields):
            word |= self.values[field.name] << start
            start += field.bits
        return word.to_bytes(INSTRUCTION_BYTES, "little")

    def __str__(self) -> str:
        """The line of the listing: the name, and all fields that are not 0."""
        shown = [self.opcode.name]
        for field in (*HEADER[1:], *self.opcode.fields):
            value = self.values[field.name]
            if field.name == "immediate":
                used = Operand.IMMEDIATE in (self["x"], self["y"])
                shown += [f"immediate={self._immediate()}"] if used or value else []
            elif value or field.name == "op":
                shown.append(f"{field.name}={field.text(value)}")
        return " ".join(shown)

    def _immediate(self) -> str:
        """The immediate as the operation takes it: a float, or else an integer."""
        bits = self["immediate"]
        if self["op"] in (VectorOp.SHL, VectorOp.SHR):
            return str(bits)
        number = struct.unpack("<f", struct.pack("<I", bits))[0]
        if self["op"] in INTEGER_OPS or math.isnan(number):
            return f"{bits:#x}"
        return str(np.float32(number))


def decode(raw: bytes) -> Instruction:
    """The instruction in INSTRUCTION_BYTES.

    InputError when there are fewer, its opcode is unknown, a field has a value without a meaning, or a bit behind its
    fields is set.
    """
    if len(raw) != INSTRUCTION_BYTES:
        raise InputError(f"an instruction is {INSTRUCTION_BYTES} bytes, not {len(raw)}")
    word = int.from_bytes(raw, "little")
    code = word & ((1 << HEADER[0].bits) - 1)
    if code not in BY_CODE:
        raise InputError(f"no instruction has the opcode {code}")
    opcode, values = BY_CODE[code], dict[str, int]()
    for field in (*HEADER, *opcode.fields):
        values[field.name] = word & ((1 << field.bits) - 1)
        word >>= field.bits
    if word:
        raise InputError(f"{opcode.name} has bits set behind its fields")
    return Instruction(opcode, values).checked()


def assemble(line: str) -> Instruction:
    """The instruction of a line of a listing, the inverse of str(); what follows a `#` is a comment.

    Raises InputError when the line isn't one.
    """
    words = line.split("#")[0].split()
    if not words:
        raise InputError("an empty line is no instruction")
    values = dict[str, int]()
    fields = {f.name: f for f in (*HEADER, *(BY_NAME[words[0]].fields if words[0] in BY_NAME else ()))}
    for word in words[1:]:
        name, equals, text = word.partition("=")
        if not equals or name in values:
            raise InputError(f"{words[0]}: {word!r} is not a field with a value, or its second")
        # An unknown field is left to `make`, which says so.
        values[name] = _value(fields[name], text) if name in fields else 0
    return Instruction.make(words[0], **values).checked()


def float_bits(value: float) -> int:
    """The bits of the float32 nearest to `value`; OverflowError when there is none."""
    bits: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return bits


def _value(field: Field, text: str) -> int:
    """A number, the name of a value, or the names of set bits."""
    names = {member.name.lower(): int(member) for member in field.names or ()}
    if text in names and not field.mask:
        return names[text]
    if field.mask and all(part in names for part in text.split("+")):
        return sum(1 << names[part] for part in set(text.split("+")))
    try:
        return int(text, 0)
    except ValueError:
        if field.name == "immediate" and (number := _float(text)) is not None:
            return number
        known = f"; known: {', '.join(names)}" if names else ""
        near = did_you_mean(text, names) or known
        raise InputError(f"{field.name}: {text!r} is neither a number nor a name{near}") from None


def _float(text: str) -> int | None:
    """The bits of the float32 that `text` says; None when it says none."""
    try:
        return float_bits(float(text))
    except (ValueError, OverflowError):
        return None
