"""The instruction set of the core: one table for the assembler, the disassembler, the golden executor, the hardware
decoder and docs/isa.md.

An instruction is 256 bits, fields from bit 0 in the order of the table: the header, which all share, and the operands.
Each instruction belongs to a unit. Units run side by side, and each executes its own instructions in program order. An
instruction starts when it has taken a permit from each unit in `wait`. When it is complete, it gives a permit to each
unit in `signal`.
"""

from enum import IntEnum
from typing import NamedTuple, Self

INSTRUCTION_BITS = 256
INSTRUCTION_BYTES = INSTRUCTION_BITS // 8
REDUCE_PARTIALS = 8
"""Partial sums that a lane keeps in SUM: at least the latency of the adder, so that it adds a word a cycle."""
PERMIT_LIMIT = 255
"""Most permits that may wait between two units."""


class Meaning(IntEnum):
    """Numbers, each with what it means."""

    meaning: str

    def __new__(cls, number: int, meaning: str = "") -> Self:
        member = int.__new__(cls, number)
        member._value_ = number
        member.meaning = meaning
        return member


class Unit(Meaning):
    """Units that execute instructions."""

    CONTROL = 0, "the sequencer itself: fetches the program, hands out its instructions, waits at barriers"
    WEIGHTS = 1, "asks every weight channel for beats, which wait in a FIFO for the GEMM unit"
    GEMM = 2, "the GEMM engine and the activation buffer"
    VECTOR = 3, "the vector unit: float32 lanes"
    ATTENTION = 4, "the attention engine and the query buffer"
    LOAD = 5, "fetches rows of memory into the vector memory, and those of the table of tokens"
    STORE = 6, "writes rows of the vector memory, and keys and values from the staging buffer"


UNITS = tuple(u for u in Unit if u is not Unit.CONTROL)
"""Units that have a queue and permits: all but the sequencer."""


class CoreError(Meaning):
    """Why a core stopped before the end of its program."""

    NONE = 0, "it did not"
    ILLEGAL = 1, "no instruction has this opcode, or one of its fields a value that means nothing"
    PAST_END = 2, "the program went on behind its last instruction"
    WINDOW = 3, "a request reached outside its master's window"
    RESPONSE = 4, "memory answered with an error"
    PERMITS = 5, "more permits wait between two units than can be counted"
    WATCHDOG = 6, "nothing was completed for too long"
    ABORTED = 7, "by the host"
    PARITY = 8, "a memory on the chip lost a bit"


class Condition(Meaning):
    """Conditions of an instruction. Where its condition does not hold, it only passes its permits on."""

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
    EXCHANGE = 11, "as mad, but lane n takes y of lane n xor `immediate`; only on cores with recent tiles"


REDUCTIONS = (VectorOp.SUM, VectorOp.MAXABS)
FLOAT_OPS = (VectorOp.MAD, VectorOp.EXCHANGE)
"""Operations with an addend."""
INTEGER_OPS = (VectorOp.IADD, VectorOp.ISUB, VectorOp.SHL, VectorOp.SHR)
"""Operations whose x is an integer."""


class Operand(Meaning):
    """Sources of x and y of a vector instruction."""

    NONE = 0, "x: a passes unmultiplied, and is its own partner where an operation needs two; y: nothing is added"
    VECTOR = 1, "x: operand b; y: operand c"
    IMMEDIATE = 2, "the field `immediate`, the same 32 bits in every lane"


class Space(Meaning):
    """Memories that a vector instruction writes. All but VECTOR take integers: to nearest even, saturated, NaN as 0."""

    VECTOR = 0, "the vector memory, 32 bits a lane"
    ACTIVATIONS = 1, "the activation buffer: int8, of the token; `d_token` is not used"
    QUERIES = 2, "the query buffer: int16, of column (token mod 2^block) * outer + o; `d_token` is from block to block"
    QUERY_SCALE = 3, "as queries; lane 0 is the scale, and the token's position is put behind it, low 16 bits first"
    KEY_VALUES = (
        4,
        "the staging buffer: cache_bits, 8 with recent tiles, of row (position + token) mod rows; no `d_token`",
    )


class Rows(Meaning):
    """Rows of memory that a LOAD fetches."""

    ONE = 0, "just the one at `offset`, once for the chunk"
    POSITIONS = 1, "for each token of the chunk, that of its position"
    TOKENS = 2, "for each token of the chunk, that of its id"


class Elements(Meaning):
    """How memory has the elements of rows that a LOAD fetches."""

    FLOAT32 = 0, "as they are, 32 bits"
    BFLOAT16 = 1, "their upper 16 bits; the last beat of a row may be half full"


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
    Field("wait", 8, "bit u: take a permit from unit u before the start", Unit, mask=True),
    Field("signal", 8, "bit u: give a permit to unit u at the end", Unit, mask=True),
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
        """The units with which the instruction may exchange permits, as a mask."""
        return 0 if self.unit is Unit.CONTROL else sum(1 << u for u in UNITS if u is not self.unit)


def _operand(name: str) -> tuple[Field, ...]:
    return (
        Field(f"{name}_base", 16, f"{name}: first word"),
        Field(f"{name}_token", 12, f"{name}: words from one token to the next"),
        Field(f"{name}_outer", 8, f"{name}: words from one outer step to the next"),
        Field(f"{name}_inner", 1, f"{name}: words from one inner step to the next"),
    )


RING = Field("ring", 5, "0, or 1 + log2 of the tiles of the head's ring; only on cores with cache_ring")
OTHER_LANES = Field("other_lanes", 6, "attention lanes at work beside the first; more than there are mean all")

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
            Field("activations", 16, "first word of the activation buffer, rounded down to where a step can begin"),
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
        "one head of keys and values, over all positions up to each token's own; with a window, over the last `window` "
        "of these and the first `sinks`. With recent tiles, codes of tile 0 and of the last tiles, up to the last "
        "token's, are whole. The outputs become float32 words at d + token * token stride + head * outer stride. Each "
        "further lane at work does the same with a head of keys and values of its own, and its heads follow.",
        (
            Field("keys", 32, "first beat of the head's keys, from the start of the system window"),
            Field("values", 32, "first beat of the head's values"),
            Field("queries", 16, "first element of the block in the query buffer"),
            Field("query_head", 11, "elements of a query and of a key"),
            Field("value_head", 11, "elements of a value"),
            Field("group", 8, "heads"),
            Field("count", 8, "tokens"),
            Field("d_base", 16, "first word of the result"),
            Field("d_token", 12, "words from one token to the next"),
            Field("d_outer", 8, "words from one head to the next"),
            Field("window", 24, "positions that a token sees, its own the last; 0 for all"),
            Field("sinks", 14, "first positions that it sees beside the window"),
            RING,
            OTHER_LANES,
            Field("sink_queries", 16, "as `queries`, of those for tiles of sinks; only on cores with cache_ring"),
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
            Field("elements", 1, "of the rows in memory", Elements),
        ),
    ),
    Opcode(
        "tokens",
        7,
        Unit.LOAD,
        "Fetch the rows of the chunk's tokens from the table of tokens: the beats at offset + row. From then on the "
        "chunk's positions follow that of the first one, whose place is added to the beats of keys and values.",
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
        "Write the chunk's keys (or values) of one head from the staging buffer into the tiles of their positions. "
        "With a scale per token, the word at `base` ends with the elements' header, and they begin in the next word. "
        "With recent tiles, whole codes go to the tile's place among these, and their upper halves behind them. Each "
        "further lane at work does the same with its own.",
        (
            Field("offset", 32, "first beat of the head's keys, from the start of the system window"),
            Field("base", 16, "first word in the staging buffer"),
            Field("elements", 12, "of a key"),
            Field("sinks", 14, "first positions, whose tiles are not in the ring"),
            RING,
            OTHER_LANES,
        ),
    ),
)
BY_NAME = {o.name: o for o in OPCODES}
BY_CODE = {o.code: o for o in OPCODES}

for _opcode in OPCODES:
    assert sum(f.bits for f in (*HEADER, *_opcode.fields)) <= INSTRUCTION_BITS, _opcode.name
