"""The loops of a vector instruction."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.isa import REDUCTIONS, Operand, Space, VectorOp
from hw.isa_layout import instruction_layout
from hw.part import Part
from hw.vector.address import ADDRESS_BITS, AddressWalk, Step
from hw.vector.float32 import BITS
from hw.vector.integer_unit import OP_BITS, PEAK_CONTROL
from hw.vector.lane import Addend, Factor, Left, Right
from hw.vector.reduction import LAST_WORD, ReductionTail

INSTRUCTION = instruction_layout("vector")
TOKEN_BITS = 8
OUTER_BITS = INSTRUCTION["outer"].width
INNER_BITS = INSTRUCTION["inner"].width
COLUMN_BITS = 16  # of (token mod 2^block) * outer + outer step, which is below 2^7 * 2^8

# Where a result goes.
DESTINATION = data.StructLayout({
    "space": INSTRUCTION["space"].width,
    "token": TOKEN_BITS,
    "outer": OUTER_BITS,
    "address": ADDRESS_BITS,
    "column": COLUMN_BITS,
})
# What the lanes do with a word, and with its result; it accompanies the word through the pipeline.
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
    "write": 1,
    "last": 1,  # of the instruction
    "destination": DESTINATION,
})
READS = ("a", "b", "c")


class VectorSequencer(Part):
    """Walks through tokens, outer and inner steps of an instruction: a word a cycle, without gaps.

    The first word is read in the cycle after the instruction came. A reduction pauses behind each of its rows of words
    for the `ReductionTail`. An instruction without words is a slot that neither reads nor writes.

    Parameters
    ----------
    lanes : of the reductions.

    Members
    -------
    instruction : In, stream; taken when `done` says that its last result is written
    tokens : In, of the chunk
    done : In(1)
    a_address, a_read, ... : Out, of the words that are read in this cycle
    slot : Out(SLOT), what becomes of them
    busy : Out(1), a slot is issued
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "instruction": In(stream.Signature(INSTRUCTION)),
                "tokens": In(TOKEN_BITS),
                "done": In(1),
                **{f"{p}_address": Out(ADDRESS_BITS) for p in READS},
                **{f"{p}_read": Out(1) for p in READS},
                "slot": Out(SLOT),
                "busy": Out(1),
            },
            lanes=lanes,
        )

    def elaborate(self, platform):
        m = Module()
        fields, slot = self.instruction.payload, self.slot
        tail = ReductionTail(self.lanes).place(m, "tail", platform)
        step = Signal(Step)
        word = Signal()
        reduces = Signal()
        m.d.comb += reduces.eq(_is_one_of(fields.op, REDUCTIONS))
        inner, last_inner = self._loop(m, "inner", fields.inner, step, Step.INNER)
        outer, last_outer = self._loop(m, "outer", fields.outer, step, Step.OUTER)
        token, last_token = self._loop(m, "token", self.tokens, step, Step.TOKEN)

        def end_row():
            """The result of a row, or the last one of an elementwise row, leaves in this cycle."""
            m.d.comb += slot.last.eq(last_outer & last_token)
            m.d.comb += step.eq(Mux(last_outer, Step.TOKEN, Step.OUTER))
            m.next = "words"
            with m.If(slot.last):
                m.next = "drain"

        with m.FSM():
            with m.State("idle"):
                with m.If(self.instruction.valid):
                    m.d.comb += step.eq(Step.LOAD)
                    m.next = "words"
                    with m.If((fields.inner == 0) | (fields.outer == 0) | (self.tokens == 0)):
                        m.next = "empty"
            with m.State("words"):
                m.d.comb += [word.eq(1), step.eq(Step.INNER), slot.write.eq(~reduces)]
                with m.If(last_inner & reduces):
                    m.d.comb += [step.eq(Step.HOLD), tail.start.eq(1)]
                    m.next = "tail"
                with m.Elif(last_inner):
                    end_row()
            with m.State("tail"):
                with m.If(tail.last):
                    m.d.comb += slot.write.eq(1)
                    end_row()
            with m.State("empty"):
                m.d.comb += slot.last.eq(1)
                m.next = "drain"
            with m.State("drain"):
                with m.If(self.done):
                    m.d.comb += self.instruction.ready.eq(1)
                    m.next = "idle"

        m.d.comb += [
            tail.sum.eq(fields.op == VectorOp.SUM),
            tail.word.eq(inner),
            self.busy.eq(word | tail.active),
            slot.destination.token.eq(token),
            slot.destination.outer.eq(outer),
        ]
        self._operands(m, word)
        self._reduction(m, word, reduces, tail, inner)
        self._addresses(m, platform, step, reduces, token)
        return m

    def _loop(self, m, name, count, step, own):
        """(index, it is the last one) of the loop that goes on with `own`; the steps above it let it start again."""
        index = Signal(len(count), name=f"{name}_index", reset_less=True)
        bound = Signal(len(count), name=f"{name}_bound", reset_less=True)
        with m.If(step == own):
            m.d.sync += index.eq(index + 1)
        with m.Elif(step.as_value() > own.value):
            m.d.sync += index.eq(0)
        with m.If(step == Step.LOAD):
            m.d.sync += bound.eq(count - 1)
        return index, index == bound

    def _operands(self, m, word):
        """Where the lanes take theirs from, and which are read. Unknown operands are none."""
        fields, slot = self.instruction.payload, self.slot
        one_operand = _is_one_of(fields.op, (VectorOp.TOINT, VectorOp.TOFLOAT, VectorOp.MAXABS))
        m.d.comb += [
            slot.op.eq(fields.op),
            slot.integer.eq(~_is_one_of(fields.op, (VectorOp.MAD, VectorOp.SUM))),
            slot.negate.eq(fields.negate),
            slot.immediate.eq(fields.immediate),
            slot.factor.eq(Mux(slot.integer, Factor.A, Factor.ONE)),
            slot.addend.eq(Addend.MINUS_ZERO),
            self.a_read.eq(word),
            self.b_read.eq(word & (fields.x == Operand.VECTOR) & ~one_operand),
            self.c_read.eq(word & (fields.y == Operand.VECTOR) & (fields.op == VectorOp.MAD)),
        ]
        with m.Switch(fields.x):
            with m.Case(Operand.VECTOR):
                m.d.comb += slot.factor.eq(Factor.B)
            with m.Case(Operand.IMMEDIATE):
                m.d.comb += slot.factor.eq(Factor.IMMEDIATE)
        with m.Switch(fields.y):
            with m.Case(Operand.VECTOR):
                m.d.comb += slot.addend.eq(Addend.C)
            with m.Case(Operand.IMMEDIATE):
                m.d.comb += slot.addend.eq(Addend.IMMEDIATE)

    def _reduction(self, m, word, reduces, tail, inner):
        """What the adders and the comparison of magnitudes take."""
        slot = self.slot
        first_round = inner[LAST_WORD.bit_length() :] == 0
        partial = Mux(first_round, Right.ZERO, Right.LOOP)
        m.d.comb += [
            slot.left.eq(Mux(word, Left.PRODUCT, tail.left)),
            slot.right.eq(Mux(word, Mux(reduces, partial, Right.ADDEND), Mux(tail.fill, partial, tail.right))),
            slot.peak.first.eq(inner == 0),
            slot.peak.fold.eq(~word),
        ]

    def _addresses(self, m, platform, step, reduces, token):
        """Those of the operands, and the destination's."""
        fields, to = self.instruction.payload, self.slot.destination
        for operand in READS:
            walk = AddressWalk().place(m, f"{operand}_walk", platform)
            m.d.comb += [
                walk.base.eq(fields[f"{operand}_base"]),
                walk.token_stride.eq(fields[f"{operand}_token"]),
                walk.outer_stride.eq(fields[f"{operand}_outer"]),
                walk.inner_stride.eq(fields[f"{operand}_inner"]),
                walk.step.eq(step),
                getattr(self, f"{operand}_address").eq(walk.address),
            ]

        # Tokens of a block lie side by side in columns; only the next block has another address.
        in_columns = _is_one_of(fields.space, (Space.QUERIES, Space.QUERY_SCALE))
        block_ends = (token | ~((1 << fields.block) - 1)[:TOKEN_BITS]).all()
        strides = (fields.space == Space.VECTOR) | (in_columns & block_ends)
        walk = AddressWalk().place(m, "d_walk", platform)
        m.d.comb += [
            walk.base.eq(fields.d_base),
            walk.token_stride.eq(Mux(strides, fields.d_token, 0)),
            walk.outer_stride.eq(Mux(in_columns, 0, fields.d_outer)),
            walk.inner_stride.eq(~reduces),
            walk.step.eq(step),
            to.space.eq(fields.space),
            to.address.eq(walk.address),
        ]
        column = Signal(COLUMN_BITS, reset_less=True)
        with m.If((step == Step.LOAD) | ((step == Step.TOKEN) & block_ends)):
            m.d.sync += column.eq(0)
        with m.Elif((step == Step.OUTER) | (step == Step.TOKEN)):
            m.d.sync += column.eq(column + 1)
        m.d.comb += to.column.eq(column)


def _is_one_of(value, members):
    return Cat(value == member for member in members).any()
