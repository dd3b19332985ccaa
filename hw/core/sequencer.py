"""Fetches a program and hands its instructions to the units."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.read_master import beat_layout
from einloom.hw.bus.window import OFFSET_BITS, request_layout
from einloom.hw.core.layouts import CHUNK, INDEX_BITS, POSITION_BITS
from einloom.hw.core.unit_queue import QUEUED
from einloom.hw.isa_layout import instruction_layout
from einloom.hw.part import Part
from einloom.spec.isa import BY_NAME, HEADER, INSTRUCTION_BITS, OPCODES, UNITS, CoreError, Unit

BLOCK = 16  # instructions that are requested at once
ERROR_BITS = 4


class _Step(enum.Enum, shape=3):
    IDLE = 0
    RUN = 1
    DECODED = 2
    BARRIER = 3
    FLUSH = 4
    MISTAKE = 5


class Sequencer(Part):
    """Walks through a program: an instruction every other cycle, as long as the queue of its unit has room.

    `next` and `end` wait until all units are idle. `next` then goes on to the next chunk and back to the first
    instruction, or, after the last chunk, to the instruction behind it. A mistake is reported when all units are idle,
    too: all that stands before it has been done, and none of it was a mistake itself.

    Parameters
    ----------
    tokens : of a chunk, at most.
    beat_bits : of the port, at least an instruction.
    formats : of weights.

    Members
    -------
    start : In(1), begin with a program of `instructions` at beat `program`, for `length` tokens from `position` on;
        these are stable up to the end
    request, beats : to and from a read master of the system window
    queues : Out, a stream of QUEUED for each of UNITS
    units_idle : In(1), no queue and no unit had an instruction in the cycle before
    chunk : Out, the tokens at work
    done : Out(1), `end` was reached
    error : Out, ILLEGAL or PAST_END, up to a reset
    index : Out, number of the instruction at which it stands
    """

    def __init__(self, tokens: int, beat_bits: int, formats: int):
        super().__init__({
            "start": In(1),
            "program": In(OFFSET_BITS),
            "instructions": In(INDEX_BITS),
            "position": In(POSITION_BITS),
            "length": In(POSITION_BITS),
            "request": Out(stream.Signature(request_layout())),
            "beats": In(stream.Signature(beat_layout(beat_bits))),
            "queues": Out(stream.Signature(QUEUED)).array(len(UNITS)),
            "units_idle": In(1),
            "chunk": Out(CHUNK),
            "done": Out(1),
            "error": Out(ERROR_BITS),
            "index": Out(INDEX_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        step = Signal(_Step)
        restart = Signal()
        instruction = Signal(INSTRUCTION_BITS, reset_less=True)
        # Bit n: the instruction is opcode n, and its fields keep their rules; and so does what is behind them. The
        # first of these, and which parts of the instruction are 0, are found as it comes in: all at once is too much.
        kept, legal = Signal(len(OPCODES), reset_less=True), Signal(len(OPCODES))
        sizes = sorted({instruction_layout(opcode.name).size for opcode in OPCODES})
        empty = Signal(len(sizes), reset_less=True)  # bit n: from size n up to the next
        past_end = Signal()
        mistake = Signal(ERROR_BITS)
        word, available, take, drained = self._fetch(m, step, restart)
        opcode = instruction[: HEADER[0].bits]
        behind = {size: empty[n:].all() for n, size in enumerate(sizes)}
        m.d.comb += legal.eq(kept & Cat(behind[instruction_layout(opcode.name).size] for opcode in OPCODES))

        def go_to(index):
            m.d.sync += [self.index.eq(index), past_end.eq(index == self.instructions)]

        following = Signal(INDEX_BITS)
        m.d.comb += following.eq(self.index + 1)
        accepted, is_control = self._dispatch(m, step, instruction, legal)

        left = Signal(POSITION_BITS)  # tokens from the present chunk on
        is_end = opcode == BY_NAME["end"].code
        with m.Switch(step):
            with m.Case(_Step.IDLE):
                with m.If(self.start):
                    m.d.sync += [
                        step.eq(_Step.FLUSH),
                        self.chunk.position.eq(self.position),
                        left.eq(self.length),
                    ]
                    go_to(Const(0, INDEX_BITS))
            with m.Case(_Step.RUN):
                with m.If(past_end):
                    m.d.sync += [mistake.eq(CoreError.PAST_END), step.eq(_Step.MISTAKE)]
                with m.Elif(available):
                    m.d.comb += take.eq(1)
                    m.d.sync += [instruction.eq(word), step.eq(_Step.DECODED)]
                    ends = [*sizes[1:], INSTRUCTION_BITS]
                    m.d.sync += [
                        kept.eq(self._kept(word)),
                        empty.eq(Cat(word[start:end] == 0 for start, end in zip(sizes, ends, strict=True))),
                    ]
            with m.Case(_Step.DECODED):
                with m.If(legal == 0):
                    m.d.sync += [mistake.eq(CoreError.ILLEGAL), step.eq(_Step.MISTAKE)]
                with m.Elif(is_control):
                    m.d.sync += step.eq(_Step.BARRIER)
                with m.Elif(accepted):
                    m.d.sync += step.eq(_Step.RUN)
                    go_to(following)
            with m.Case(_Step.BARRIER):
                with m.If(self.units_idle):
                    with m.If(is_end):
                        m.d.comb += self.done.eq(1)
                        m.d.sync += step.eq(_Step.IDLE)
                    with m.Elif(self.chunk.last):
                        m.d.sync += step.eq(_Step.RUN)
                        go_to(following)
                    with m.Else():
                        m.d.sync += [
                            self.chunk.position.eq(self.chunk.position + self.tokens),
                            left.eq(left - self.tokens),
                            step.eq(_Step.FLUSH),
                        ]
                        go_to(Const(0, INDEX_BITS))
            with m.Case(_Step.FLUSH):
                m.d.comb += restart.eq(drained)
                m.d.sync += [
                    self.chunk.tokens.eq(Mux(left > self.tokens, self.tokens, left)),
                    self.chunk.last.eq(left <= self.tokens),
                ]
                with m.If(drained):
                    m.d.sync += step.eq(_Step.RUN)
            with m.Case(_Step.MISTAKE):
                with m.If(self.units_idle):
                    m.d.sync += [self.error.eq(mistake), step.eq(_Step.IDLE)]
        return m

    def _kept(self, word):
        """For each opcode, whether the encoded instruction `word` is of it, and has values that mean something."""
        kept = []
        for opcode in OPCODES:
            layout = instruction_layout(opcode.name)
            fields = data.View(layout, word[: layout.size])
            rules = [word[: HEADER[0].bits] == opcode.code]
            for field in (*HEADER, *opcode.fields):
                value = fields[field.name]
                if field.mask:
                    rules.append((value & ~opcode.partners) == 0)
                elif field.names is not None and len(field.names) < 1 << field.bits:
                    rules.append(Cat(value == number for number in field.names).any())
                elif field.name == "format":
                    rules.append(value < self.formats)
            kept.append(Cat(rules).all())
        return Cat(kept)

    def _dispatch(self, m, step, instruction, legal):
        """Offer the decoded instruction to its unit's queue, if it is legal; returns (accepted, is control)."""
        accepted, is_control = Signal(), Signal()
        for n, unit in enumerate(UNITS):
            queue = self.queues[n]
            mine = Signal(name=f"is_{unit.name.lower()}")
            m.d.comb += [
                mine.eq(Cat(bit for bit, o in zip(legal, OPCODES, strict=True) if o.unit is unit).any()),
                queue.valid.eq((step == _Step.DECODED) & mine),
                queue.payload.instruction.eq(instruction),
                queue.payload.index.eq(self.index),
            ]
            with m.If(queue.valid & queue.ready):
                m.d.comb += accepted.eq(1)
        control = [bit for bit, o in zip(legal, OPCODES, strict=True) if o.unit is Unit.CONTROL]
        m.d.comb += is_control.eq(Cat(control).any())
        return accepted, is_control

    def _fetch(self, m, step, restart):
        """Requests blocks ahead of the program's walk; returns (instruction, available, take, drained)."""
        per_beat = self.beat_bits // INSTRUCTION_BITS
        block_beats = BLOCK // per_beat
        word = Signal(self.beat_bits, reset_less=True)
        parts = Signal(range(per_beat + 1))  # instructions left in `word`
        take, drained = Signal(), Signal()
        total = Signal(INDEX_BITS)
        asked, due = Signal(INDEX_BITS), Signal(range(2 * block_beats + 1))  # beats: in all, and not come yet
        left = Signal(INDEX_BITS)
        flushing = step == _Step.FLUSH
        count = Signal(range(block_beats + 1))
        request, come = Signal(), Signal()
        m.d.comb += [
            total.eq((self.instructions + per_beat - 1) >> (per_beat - 1).bit_length()),
            left.eq(total - asked),
            count.eq(Mux(left > block_beats, block_beats, left)),
            self.request.valid.eq(~flushing & (step != _Step.IDLE) & (left != 0) & (due <= block_beats)),
            self.request.payload.offset.eq((self.program + asked) << (self.beat_bits // 8).bit_length() - 1),
            self.request.payload.beats.eq(count),
            request.eq(self.request.valid & self.request.ready),
            self.beats.ready.eq(flushing | (parts == 0) | ((parts == 1) & take)),
            come.eq(self.beats.valid & self.beats.ready),
            drained.eq(due == 0),
        ]
        m.d.sync += due.eq(due + Mux(request, count, 0) - come)
        with m.If(take):
            m.d.sync += [word.eq(word >> INSTRUCTION_BITS), parts.eq(parts - 1)]
        with m.If(come):
            m.d.sync += [word.eq(self.beats.payload.data), parts.eq(per_beat)]
        with m.If(request):
            m.d.sync += asked.eq(asked + count)
        with m.If(restart):
            m.d.sync += [asked.eq(0), parts.eq(0)]
        return word[:INSTRUCTION_BITS], parts != 0, take, drained
