"""The loops of a vector instruction."""

from amaranth import Cat, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.vector.address import AddressWalk, Step
from einloom.hw.vector.lane import Addend, Factor, Left, Right
from einloom.hw.vector.reduction import LAST_WORD, ReductionTail
from einloom.hw.vector.slot import CANDIDATE, COLUMN_BITS, INSTRUCTION, READS, TOKEN_BITS
from einloom.hw.wires import choose, feed
from einloom.spec.isa import FLOAT_OPS, REDUCTIONS, Operand, Space, VectorOp


class VectorSequencer(Part):
    """Walks through the tokens, outer and inner steps of an instruction, and offers a slot for each word.

    A row of a reduction is followed by the slots of its `ReductionTail`. The first slot of a SUM waits until all
    earlier results are in memory; the others wait for nothing, because a SUM must have no gaps. An instruction without
    words is one slot that neither reads nor writes.

    Throughput: a slot a cycle, as long as they are taken. Latency: 1 cycle from an instruction to its first slot.

    Parameters
    ----------
    lanes : lanes that a reduction combines.
    overlap : an instruction is taken with its last slot, otherwise with its last result.
    exchange : EXCHANGE is one of the operations.

    Members
    -------
    instruction : In, stream
    tokens : In, of the chunk, stable like the instruction
    done : In(1), the last result of the oldest instruction is there
    idle : Out(1), no instruction is there, and no result will come
    candidate : Out(CANDIDATE)
    taken : In(1), the candidate is taken
    """

    def __init__(self, lanes: int, overlap: bool, exchange: bool = False):
        super().__init__({
            "instruction": In(stream.Signature(INSTRUCTION)),
            "tokens": In(TOKEN_BITS),
            "done": In(1),
            "idle": Out(1),
            "candidate": Out(CANDIDATE),
            "taken": In(1),
        })

    def build(self, m, platform):
        fields, candidate = self.instruction.payload, self.candidate
        tail = ReductionTail(self.lanes).place(m, "tail", platform)
        # `step` is the next step, `enable` says it happens now. Only `enable` depends on `taken`, which comes late.
        step, enable = Signal(Step), Signal()
        idle, word = Signal(), Signal()
        inner, last_inner = self._loop(m, "inner", fields.inner, step, enable, Step.INNER)
        outer, last_outer = self._loop(m, "outer", fields.outer, step, enable, Step.OUTER)
        token, last_token = self._loop(m, "token", self.tokens, step, enable, Step.TOKEN)
        is_sum = fields.op == VectorOp.SUM
        reduces = Signal(reset_less=True)
        fresh = Signal(reset_less=True)  # no slot of the instruction is taken yet
        with m.If(idle):
            m.d.sync += fresh.eq(1)
        with m.Elif(self.taken):
            m.d.sync += fresh.eq(0)
        m.d.comb += [
            tail.enable.eq(self.taken),
            tail.sum.eq(is_sum),
            tail.word.eq(inner),
            candidate.alone.eq(is_sum & fresh),
            candidate.unguarded.eq(is_sum & ~fresh),
            candidate.slot.destination.token.eq(token),
            candidate.slot.destination.outer.eq(outer),
        ]
        # The instruction is there a cycle before its first slot, so `reduces` may be a register.
        m.d.sync += reduces.eq(_is_one_of(fields.op, REDUCTIONS))
        self._states(m, step, enable, idle, word, tail, reduces, last_inner, last_outer, last_token)
        self._idle(m, idle & enable)
        self._operands(m, word)
        self._reduction(m, word, reduces, tail, inner)
        self._addresses(m, platform, step, enable, idle, reduces, token)

    def _states(self, m, step, enable, idle, word, tail, reduces, last_inner, last_outer, last_token):
        """Control of the loops: the present slot, and the step behind it."""
        fields, candidate = self.instruction.payload, self.candidate

        def end_row():
            """The last slot of a row is there."""
            m.d.comb += [
                candidate.slot.last.eq(last_outer & last_token),
                step.eq(Mux(last_outer, Step.TOKEN, Step.OUTER)),
                enable.eq(self.taken),
            ]
            with m.If(self.taken):
                m.next = "words"
                with m.If(candidate.slot.last):
                    end()

        def end():
            """The last slot of the instruction is taken."""
            m.next = "idle" if self.overlap else "drain"
            m.d.comb += self.instruction.ready.eq(self.overlap)

        with m.FSM():
            with m.State("idle"):
                m.d.comb += [idle.eq(1), step.eq(Step.LOAD), enable.eq(self.instruction.valid)]
                with m.If(self.instruction.valid):
                    m.next = "words"
                    with m.If((fields.inner == 0) | (fields.outer == 0) | (self.tokens == 0)):
                        m.next = "empty"
            with m.State("words"):
                m.d.comb += [word.eq(1), candidate.valid.eq(1), candidate.slot.write.eq(~reduces)]
                with m.If(last_inner & ~reduces):
                    end_row()
                with m.Elif(last_inner & self.taken):
                    m.d.comb += tail.start.eq(1)
                    m.next = "tail"
                with m.Elif(~last_inner):
                    m.d.comb += [step.eq(Step.INNER), enable.eq(self.taken)]
            with m.State("tail"):
                m.d.comb += [candidate.valid.eq(1), candidate.slot.write.eq(tail.last)]
                with m.If(tail.last):
                    end_row()
            with m.State("empty"):
                m.d.comb += [candidate.valid.eq(1), candidate.slot.last.eq(1)]
                with m.If(self.taken):
                    end()
            with m.State("drain"):
                with m.If(self.done):
                    m.d.comb += self.instruction.ready.eq(1)
                    m.next = "idle"

    def _loop(self, m, name, count, step, enable, own):
        """(index, it is the last one) of the loop whose step is `own`; the steps above it let it start again.

        Both are registers, because the next step depends on them.
        """
        index = Signal(len(count), name=f"{name}_index", reset_less=True)
        bound = Signal(len(count), name=f"{name}_bound", reset_less=True)
        single = Signal(name=f"{name}_single", reset_less=True)
        last = Signal(name=f"{name}_last", reset_less=True)
        following = Signal(len(count), name=f"{name}_following")
        m.d.comb += following.eq(index + 1)
        with m.If(enable):
            with m.If(step == own):
                m.d.sync += [index.eq(following), last.eq(following == bound)]
            with m.Elif(step.as_value() > own.value):
                m.d.sync += [index.eq(0), last.eq(single)]
            with m.If(step == Step.LOAD):
                m.d.sync += [bound.eq(count - 1), single.eq(count == 1), last.eq(count == 1)]
        return index, last

    def _idle(self, m, load):
        """Count the instructions whose last result has not come."""
        in_flight = Signal(range(32))  # instructions, of which each takes at least two cycles
        m.d.sync += in_flight.eq(in_flight + load - self.done)
        m.d.comb += self.idle.eq((in_flight == 0) & ~self.instruction.valid)

    def _operands(self, m, word):
        """Choose the lanes' operands, and the words to read. An unknown kind of operand counts as none."""
        fields, candidate, slot = self.instruction.payload, self.candidate, self.candidate.slot
        has_b, has_c = Signal(reset_less=True), Signal(reset_less=True)
        with_addend = fields.op == VectorOp.MAD
        if self.exchange:
            with_addend |= fields.op == VectorOp.EXCHANGE
        floats = FLOAT_OPS if self.exchange else (VectorOp.MAD,)
        one_operand = _is_one_of(fields.op, (VectorOp.TOINT, VectorOp.TOFLOAT, VectorOp.MAXABS))
        feed(m, fields, slot, "op", "negate", "immediate", "signal")
        m.d.comb += [
            slot.integer.eq(~_is_one_of(fields.op, (*floats, VectorOp.SUM))),
            candidate.a_read.eq(word),
            candidate.b_read.eq(word & has_b),
            candidate.c_read.eq(word & has_c),
        ]
        m.d.sync += [
            has_b.eq((fields.x == Operand.VECTOR) & ~one_operand),
            has_c.eq((fields.y == Operand.VECTOR) & with_addend),
        ]
        none = Mux(slot.integer, Factor.A, Factor.ONE)
        choose(m, slot.factor, fields.x, {Operand.VECTOR: Factor.B, Operand.IMMEDIATE: Factor.IMMEDIATE}, none)
        addends = {Operand.VECTOR: Addend.C, Operand.IMMEDIATE: Addend.IMMEDIATE}
        choose(m, slot.addend, fields.y, addends, Addend.MINUS_ZERO)

    def _reduction(self, m, word, reduces, tail, inner):
        """Choose the operands of the adders and of the comparison of magnitudes."""
        slot = self.candidate.slot
        first_round = inner[LAST_WORD.bit_length() :] == 0
        partial = Mux(first_round, Right.ZERO, Right.LOOP)
        m.d.comb += [
            slot.left.eq(Mux(word, Left.PRODUCT, tail.left)),
            slot.right.eq(Mux(word, Mux(reduces, partial, Right.ADDEND), Mux(tail.fill, partial, tail.right))),
            slot.peak.first.eq(inner == 0),
            slot.peak.fold.eq(~word),
        ]

    def _walk(self, m, platform, name, step, enable, token_stride, outer_stride, inner_stride):
        """The address of operand or destination `name`, which takes the steps of the loops."""
        walk = AddressWalk().place(m, f"{name}_walk", platform)
        m.d.comb += [
            walk.base.eq(self.instruction.payload[f"{name}_base"]),
            walk.token_stride.eq(token_stride),
            walk.outer_stride.eq(outer_stride),
            walk.inner_stride.eq(inner_stride),
            walk.step.eq(step),
            walk.enable.eq(enable),
        ]
        return walk.address

    def _addresses(self, m, platform, step, enable, idle, reduces, token):
        """Walk through the addresses of the operands and of the destination."""
        fields, to = self.instruction.payload, self.candidate.slot.destination
        for operand in READS:
            strides = (fields[f"{operand}_{loop}"] for loop in ("token", "outer", "inner"))
            address = self._walk(m, platform, operand, step, enable, *strides)
            m.d.comb += self.candidate[f"{operand}_address"].eq(address)

        # Tokens of a block lie side by side in columns, so the address changes only from block to block.
        in_columns = _is_one_of(fields.space, (Space.QUERIES, Space.QUERY_SCALE))

        def ends_block(number):
            return (number | ~((1 << fields.block) - 1)[:TOKEN_BITS]).all()

        following = Signal(TOKEN_BITS)
        m.d.comb += following.eq(Mux(idle, 0, token + 1))
        block_ends = ends_block(token)
        to_memory = fields.space == Space.VECTOR
        token_stride = Mux(to_memory | (in_columns & ends_block(following)), fields.d_token, 0)
        outer_stride = Mux(in_columns, 0, fields.d_outer)
        address = self._walk(m, platform, "d", step, enable, token_stride, outer_stride, ~reduces)
        m.d.comb += [to.space.eq(fields.space), to.address.eq(address), self.candidate.slot.to_memory.eq(to_memory)]
        column = Signal(COLUMN_BITS, reset_less=True)
        with m.If(enable & (step != Step.INNER)):
            starts = (step == Step.LOAD) | ((step == Step.TOKEN) & block_ends)
            m.d.sync += column.eq(Mux(starts, 0, column + 1))
        m.d.comb += to.column.eq(column)


def _is_one_of(value, members):
    return Cat(value == member for member in members).any()
