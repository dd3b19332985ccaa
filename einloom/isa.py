"""The instruction set of the core: one table for the assembler, the disassembler, the golden executor, the hardware
decoder and docs/isa.md.

An instruction is 256 bits, fields from bit 0 in the order of the table: the header, which all share, and the operands.
Each instruction belongs to a unit. Units run side by side, each its own instructions in program order; an instruction
starts when it has taken one token from each unit in `wait`, and gives one to each unit in `signal` when it is complete.
"""

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np

from einloom.errors import InputError
from einloom.suggest import did_you_mean

INSTRUCTION_BITS = 256
INSTRUCTION_BYTES = INSTRUCTION_BITS // 8
REDUCE_PARTIALS = 8
"""Partial sums that a lane keeps in SUM: at least the latency of the adder, so that it adds a word a cycle."""
TOKEN_LIMIT = 255
"""Tokens that may wait between two units."""


class Meaning(IntEnum):
    """Numbers, each with what it means."""

    meaning: str

    def __new__(cls, number: int, meaning: str = "") -> Self:
        member = int.__new__(cls, number)
        member._value_ = number
        member.meaning = meaning
        return member


class Unit(Meaning):
    """What executes an instruction."""

    CONTROL = 0, "the sequencer itself: fetches the program, hands out its instructions, waits at barriers"
    WEIGHTS = 1, "asks every weight channel for beats, which wait in a FIFO for the GEMM unit"
    GEMM = 2, "the GEMM engine and the activation buffer"
    VECTOR = 3, "the vector unit: float32 lanes"
    ATTENTION = 4, "the attention engine and the query buffer"
    LOAD = 5, "fetches rows of memory into the vector memory, and token ids"
    STORE = 6, "writes rows of the vector memory, and keys and values from the staging buffer"


UNITS = tuple(u for u in Unit if u is not Unit.CONTROL)
"""Those that have a queue, and tokens."""


class CoreError(Meaning):
    """Why a core stopped before the end of its program."""

    NONE = 0, "it did not"
    ILLEGAL = 1, "no instruction has this opcode, or one of its fields a value that means nothing"
    PAST_END = 2, "the program went on behind its last instruction"
    WINDOW = 3, "a request reached outside its master's window"
    RESPONSE = 4, "memory answered with an error"
    TOKENS = 5, "more tokens wait between two units than can be counted"
    WATCHDOG = 6, "nothing was completed for too long"
    ABORTED = 7, "by the host"
    PARITY = 8, "a memory on the chip lost a bit"


class Condition(Meaning):
    """When an instruction is carried out; otherwise it only passes its tokens on."""

    ALWAYS = 0, "always"
    TOKEN_PRESENT = 1, "when the chunk has more than `first` tokens"
    LAST_CHUNK = 2, "when no chunk follows this one"


class VectorOp(Meaning):
    """r = op(a, x, y) on every lane; x and y are chosen by Operand. Floats are IEEE float32, to nearest even,
    subnormals flushed to zeros of their sign before and after every operation, NaN always 0x7fc00000."""

    MAD = 0, "(a * x) + y, each rounded; -(a * x) + y with `negate`"
    MAX = 1, "the larger of a and x; -0 is below +0; NaN if either is"
    MIN = 2, "the smaller of a and x, likewise"
    IADD = 3, "a + x on 32-bit integers, modulo 2^32"
    ISUB = 4, "x - a, likewise"
    SHL = 5, "a << (x mod 32)"
    SHR = 6, "a >> (x mod 32), arithmetic"
    TOINT = 7, "float a to int32, to nearest even, saturating; NaN is 0"
    TOFLOAT = 8, "int32 a to float32, to nearest even"
    SUM = 9, "sum over the inner words and all lanes of a * x (`negate` as in mad), in every lane of one word"
    MAXABS = 10, "largest abs(a) over the inner words and all lanes, in every lane of one word; NaN if any is"


REDUCTIONS = (VectorOp.SUM, VectorOp.MAXABS)
INTEGER_OPS = (VectorOp.IADD, VectorOp.ISUB, VectorOp.SHL, VectorOp.SHR)
"""Those whose x is an integer."""


class Operand(Meaning):
    """What x or y of a vector instruction is."""

    NONE = 0, "x: a passes unmultiplied, and is its own partner where an operation needs two; y: nothing is added"
    VECTOR = 1, "x: operand b; y: operand c"
    IMMEDIATE = 2, "the field `immediate`, the same 32 bits in every lane"


class Space(Meaning):
    """Where a vector instruction writes. All but VECTOR take integers: r to nearest even, saturated, NaN as 0."""

    VECTOR = 0, "the vector memory, 32 bits a lane"
    ACTIVATIONS = 1, "the activation buffer: int8, of the token; `d_token` is not used"
    QUERIES = 2, "the query buffer: int16, of column (token mod 2^block) * outer + o; `d_token` is from block to block"
    QUERY_SCALE = 3, "as queries; lane 0 is the scale, and the token's position is put behind it, low 16 bits first"
    KEY_VALUES = (
        4,
        "the staging buffer: cache_bits, of row (position + token) mod rows of a tile; `d_token` is not used",
    )


class Rows(Meaning):
    """Which rows of memory a LOAD fetches."""

    ONE = 0, "just the one at `offset`, once for the chunk"
    POSITIONS = 1, "for each token of the chunk, that of its position"
    TOKENS = 2, "for each token of the chunk, that of its id"


class Field(NamedTuple):
    """`bits` of an instruction. With `names` its value is one of them or, in a `mask`, the numbers of the bits set."""

    name: str
    bits: int
    meaning: str
    names: type[Meaning] | None = None
    mask: bool = False

    def text(self, value: int) -> str:
        """The value as a listing has it: by its names where it has some."""
        names = {int(member): member.name.lower() for member in self.names or ()}
        if self.mask and not value >> len(names):
            return "+".join(name for number, name in names.items() if value >> number & 1)
        return names.get(value, str(value)) if not self.mask else f"{value:#x}"


HEADER = (
    Field("opcode", 6, "the instruction"),
    Field("condition", 2, "when it is carried out", Condition),
    Field("first", 8, "first token of the chunk that it is about"),
    Field("wait", 8, "bit u: take a token from unit u before the start", Unit, mask=True),
    Field("signal", 8, "bit u: give a token to unit u at the end", Unit, mask=True),
)


class Opcode(NamedTuple):
    """One kind of instruction."""

    name: str
    code: int
    unit: Unit
    meaning: str
    fields: tuple[Field, ...]

    @property
    def partners(self) -> int:
        """The units with which the instruction may exchange tokens, as a mask."""
        return 0 if self.unit is Unit.CONTROL else sum(1 << u for u in UNITS if u is not self.unit)


def _operand(name: str) -> tuple[Field, ...]:
    return (
        Field(f"{name}_base", 16, f"{name}: first word"),
        Field(f"{name}_token", 12, f"{name}: words from one token to the next"),
        Field(f"{name}_outer", 8, f"{name}: words from one outer step to the next"),
        Field(f"{name}_inner", 1, f"{name}: words from one inner step to the next"),
    )


OPCODES = (
    Opcode("end", 0, Unit.CONTROL, "Wait for all units, then report the job as done.", ()),
    Opcode(
        "next",
        1,
        Unit.CONTROL,
        "Wait for all units, go on to the next chunk of tokens, and start again at the first instruction; past the "
        "last chunk, go on here.",
        (),
    ),
    Opcode(
        "weights",
        2,
        Unit.WEIGHTS,
        "Fetch beats from every weight channel into its FIFO.",
        (
            Field("offset", 32, "first beat, from the start of each channel's window"),
            Field("beats", 24, "of each channel"),
        ),
    ),
    Opcode(
        "gemm",
        3,
        Unit.GEMM,
        "Multiply the activations of the chunk's tokens with the weights that arrive; each tile's integer sums become "
        "float32 words at d + token * stride + tile * words of a tile.",
        (
            Field("format", 4, "index of the weight format in the manifest"),
            Field("blocks", 16, "of inputs"),
            Field("tiles", 20, "of outputs"),
            Field("specials", 32, "terms of the format's special values"),
            Field("activations", 16, "first word of the activation buffer"),
            Field("d_base", 16, "first word of the result"),
            Field("d_token", 12, "words from one token to the next"),
        ),
    ),
    Opcode(
        "vector",
        4,
        Unit.VECTOR,
        "For each token of the chunk, outer step o and inner step i: d = op(a, x, y), each operand at base + token * "
        "its token stride + o * its outer stride + i * its inner stride. Reductions run over i.",
        (
            Field("op", 4, "operation", VectorOp),
            Field("x", 2, "second factor", Operand),
            Field("y", 2, "addend", Operand),
            Field("negate", 1, "the product is negated"),
            Field("space", 3, "where d is", Space),
            Field("block", 3, "log2 of the tokens that share the query columns"),
            Field("outer", 8, "outer steps"),
            Field("inner", 12, "inner steps"),
            *_operand("a"),
            *_operand("b"),
            *_operand("c"),
            *_operand("d")[:3],
            Field("immediate", 32, "bits of a word that every lane takes"),
        ),
    ),
    Opcode(
        "attend",
        5,
        Unit.ATTENTION,
        "Attention of up to `count` tokens of the chunk, starting with `first`, and of the `group` heads that share "
        "one head of keys and values, over all positions up to each token's own. The outputs become float32 words at "
        "d + token * token stride + head * outer stride.",
        (
            Field("keys", 32, "first beat of the head's keys, from the start of the system window"),
            Field("values", 32, "first beat of the head's values"),
            Field("queries", 16, "first element of the block in the query buffer"),
            Field("query_head", 8, "elements of a query and of a key"),
            Field("value_head", 8, "elements of a value"),
            Field("group", 8, "heads"),
            Field("count", 8, "tokens"),
            Field("d_base", 16, "first word of the result"),
            Field("d_token", 12, "words from one token to the next"),
            Field("d_outer", 8, "words from one head to the next"),
        ),
    ),
    Opcode(
        "load",
        6,
        Unit.LOAD,
        "Fetch rows of words into the vector memory.",
        (
            Field("offset", 32, "first beat, from the start of the system window"),
            Field("rows", 2, "which rows", Rows),
            Field("stride", 24, "beats from one row of memory to the next"),
            Field("words", 12, "of the vector memory, of each row"),
            Field("d_base", 16, "first word"),
            Field("d_token", 12, "words from one token to the next"),
        ),
    ),
    Opcode(
        "ids",
        7,
        Unit.LOAD,
        "Fetch the ids of the chunk's tokens: the low 32 bits of the beats at offset + position.",
        (Field("offset", 32, "first beat, from the start of the system window"),),
    ),
    Opcode(
        "store",
        8,
        Unit.STORE,
        "Write a row of words of each of the chunk's tokens to memory, row `token` of the table.",
        (
            Field("offset", 32, "first beat, from the start of the system window"),
            Field("stride", 24, "beats from one row of memory to the next"),
            Field("words", 12, "of the vector memory, of each row"),
            Field("a_base", 16, "first word"),
            Field("a_token", 12, "words from one token to the next"),
        ),
    ),
    Opcode(
        "store_kv",
        9,
        Unit.STORE,
        "Write the chunk's keys (or values) of one head from the staging buffer into the tiles of their positions.",
        (
            Field("offset", 32, "first beat of the head's keys, from the start of the system window"),
            Field("base", 16, "first word in the staging buffer"),
            Field("elements", 12, "of a key"),
        ),
    ),
)
BY_NAME = {o.name: o for o in OPCODES}
BY_CODE = {o.code: o for o in OPCODES}


@dataclass(frozen=True)
class Instruction:
    """One instruction with all its fields, the header's included; fields that are not given are 0."""

    opcode: Opcode
    values: dict[str, int]

    @classmethod
    def make(cls, name: str, **values: int) -> "Instruction":
        """InputError when the opcode or a field is unknown, or a value doesn't fit; whether it has a meaning is left to
        `checked`."""
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
        """The same; InputError when a field has a value without a meaning."""
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
        """The same with other values."""
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
        """As the listing has it: the name, and all fields that are not 0."""
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
        """As the operation takes it: a float, or else an integer."""
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


_VALUES: dict[type[Meaning], frozenset[int]] = {
    names: frozenset(names) for names in (Condition, VectorOp, Operand, Space, Rows)
}
"""For a quick check: programs have many instructions."""
for _opcode in OPCODES:
    assert sum(f.bits for f in (*HEADER, *_opcode.fields)) <= INSTRUCTION_BITS, _opcode.name
