"""Fetches a program and hands its instructions to the units."""

from amaranth import Cat, Const, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.window import OFFSET_BITS
from einloom.hw.core.layouts import INDEX_BITS, POSITION_BITS, TABLE_ROWS, reader_ports
from einloom.hw.core.memory_client import MemoryClient
from einloom.hw.core.unit_queue import QUEUED
from einloom.hw.isa_layout import HEADER_LAYOUT, decoded, instruction_layout
from einloom.hw.part import Part
from einloom.hw.wires import members
from einloom.spec.isa import BY_NAME, HEADER, INSTRUCTION_BITS, OPCODES, UNITS, CoreError, Unit, VectorOp

BLOCK = 16  # instructions that are requested at once
ERROR_BITS = 4


class Sequencer(Part):
    """Hands each instruction of a program to its unit's queue.

    Throughput: an instruction every other cycle, while the queue has room. Latency: 2 cycles from `start` to the first
    request, and 2 from a beat to its first instruction.

    `next` and `end` wait until all units are idle. Then `next` goes on to the next chunk and back to the first
    instruction; after the last chunk, to the instruction behind it. A mistake, too, is reported only when all units are
    idle: every instruction before it has been carried out by then.

    Parameters
    ----------
    tokens : of a chunk, at most.
    beat_bits : of the port; a beat has one instruction or several.
    formats : number of weight formats.
    exchange : EXCHANGE is one of the vector unit's operations.

    Members
    -------
    start : In(1), begin
    program, instructions : In, first beat and number of instructions; stable up to the end
    row, length : In, the first token's row of the table, and number of tokens; stable up to the end
    request, beats : to and from a read master of the system window
    queues : Out, a stream of QUEUED for each of UNITS
    units_idle : In(1), no queue and no unit had an instruction in the cycle before
    chunk : Out, the rows of the tokens at work
    begins : Out(1), no instruction of the chunk has been handed out
    done : Out(1), `end` was reached
    error : Out, ILLEGAL or PAST_END, up to a reset
    index : Out, number of the present instruction
    """

    memory = MemoryClient("program", Unit.CONTROL)

    def __init__(self, tokens: int, beat_bits: int, formats: int, exchange: bool = False):
        super().__init__({
            "start": In(1),
            "program": In(OFFSET_BITS),
            "instructions": In(INDEX_BITS),
            **members(In, "row", "length", shape=POSITION_BITS),
            **reader_ports(beat_bits),
            "queues": Out(stream.Signature(QUEUED)).array(len(UNITS)),
            "units_idle": In(1),
            "chunk": Out(TABLE_ROWS),
            "begins": Out(1),
            "done": Out(1),
            "error": Out(ERROR_BITS),
            "index": Out(INDEX_BITS),
        })

    def build(self, m, platform):
        instruction = Signal(INSTRUCTION_BITS, reset_less=True)
        fetches, flushes, decoded_one = Signal(), Signal(), Signal()  # states: not idle, flush, decoded
        restart, past_end = Signal(), Signal()
        mistake = Signal(ERROR_BITS)
        left = Signal(POSITION_BITS)  # tokens from the present chunk on
        word, available, take, drained = self._fetch(m, fetches & ~flushes, flushes, restart)
        legal = self._check(m, word, take, instruction)
        accepted, is_control = self._dispatch(m, decoded_one, instruction, legal)
        is_end = instruction[: HEADER_LAYOUT["opcode"].width] == BY_NAME["end"].code
        following = Signal(INDEX_BITS)
        m.d.comb += [following.eq(self.index + 1), fetches.eq(1)]

        def go_to(index):
            m.d.sync += [self.index.eq(index), past_end.eq(index == self.instructions)]

        with m.FSM():
            with m.State("idle"):
                m.d.comb += fetches.eq(0)
                with m.If(self.start):
                    m.d.sync += [self.chunk.row.eq(self.row), left.eq(self.length)]
                    go_to(Const(0, INDEX_BITS))
                    m.next = "flush"
            with m.State("run"):
                with m.If(past_end):
                    m.d.sync += mistake.eq(CoreError.PAST_END)
                    m.next = "mistake"
                with m.Elif(available):
                    m.d.comb += take.eq(1)
                    m.d.sync += instruction.eq(word)
                    m.next = "decoded"
            with m.State("decoded"):
                m.d.comb += decoded_one.eq(1)
                with m.If(legal == 0):
                    m.d.sync += mistake.eq(CoreError.ILLEGAL)
                    m.next = "mistake"
                with m.Elif(is_control):
                    m.next = "barrier"
                with m.Elif(accepted):
                    go_to(following)
                    m.next = "run"
            with m.State("barrier"):
                with m.If(self.units_idle):
                    self._pass_barrier(m, is_end, left, following, go_to)
            with m.State("flush"):
                m.d.comb += [flushes.eq(1), self.begins.eq(1), restart.eq(drained)]
                m.d.sync += [
                    self.chunk.tokens.eq(Mux(left > self.tokens, self.tokens, left)),
                    self.chunk.last.eq(left <= self.tokens),
                ]
                with m.If(drained):
                    m.next = "run"
            with m.State("mistake"):
                with m.If(self.units_idle):
                    m.d.sync += self.error.eq(mistake)
                    m.next = "idle"

    def _pass_barrier(self, m, is_end, left, following, go_to):
        """Leave a barrier: `end` ends the job; `next` goes to the next chunk, or on after the last one."""
        with m.If(is_end):
            m.d.comb += self.done.eq(1)
            m.next = "idle"
        with m.Elif(self.chunk.last):
            go_to(following)
            m.next = "run"
        with m.Else():
            m.d.sync += [self.chunk.row.eq(self.chunk.row + self.tokens), left.eq(left - self.tokens)]
            go_to(Const(0, INDEX_BITS))
            m.next = "flush"

    def _check(self, m, word, take, instruction):
        """Bit n: the `instruction` that was taken before is a legal one of opcode n.

        It is legal if its fields keep their rules and the bits behind them are 0. Both are found in parts as `word`
        comes in, because all at once takes too long: which opcodes' rules are kept, and which parts of it are 0.
        """
        sizes = sorted({instruction_layout(opcode.name).size for opcode in OPCODES})
        kept, legal = Signal(len(OPCODES), reset_less=True), Signal(len(OPCODES))
        empty = Signal(len(sizes), reset_less=True)  # bit n: from size n up to the next
        behind = {size: empty[n:].all() for n, size in enumerate(sizes)}
        with m.If(take):
            ends = zip(sizes, [*sizes[1:], INSTRUCTION_BITS], strict=True)
            m.d.sync += [kept.eq(self._kept(word)), empty.eq(Cat(word[start:end] == 0 for start, end in ends))]
        m.d.comb += legal.eq(kept & Cat(behind[instruction_layout(opcode.name).size] for opcode in OPCODES))
        return legal

    def _kept(self, word):
        """Bit n: the encoded instruction `word` has opcode n, and each of its fields a value that means something."""
        kept = []
        for opcode in OPCODES:
            fields = decoded(word, opcode.name)
            rules = [fields.opcode == opcode.code]
            for field in (*HEADER, *opcode.fields):
                value = fields[field.name]
                if field.mask:
                    rules.append((value & ~opcode.partners) == 0)
                elif field.names is not None and len(field.names) < 1 << field.bits:
                    meant = (n for n in field.names if self.exchange or n is not VectorOp.EXCHANGE)
                    rules.append(Cat(value == number for number in meant).any())
                elif field.name == "format":
                    rules.append(value < self.formats)
            kept.append(Cat(rules).all())
        return Cat(kept)

    def _dispatch(self, m, offer, instruction, legal):
        """Offer a legal instruction to its unit's queue; (the queue takes it, it is the sequencer's own)."""
        accepted, is_control = Signal(), Signal()
        for n, unit in enumerate(UNITS):
            queue = self.queues[n]
            mine = Signal(name=f"is_{unit.name.lower()}")
            m.d.comb += [
                mine.eq(Cat(bit for bit, o in zip(legal, OPCODES, strict=True) if o.unit is unit).any()),
                queue.valid.eq(offer & mine),
                queue.payload.instruction.eq(instruction),
                queue.payload.index.eq(self.index),
            ]
            with m.If(queue.valid & queue.ready):
                m.d.comb += accepted.eq(1)
        control = [bit for bit, o in zip(legal, OPCODES, strict=True) if o.unit is Unit.CONTROL]
        m.d.comb += is_control.eq(Cat(control).any())
        return accepted, is_control

    def _fetch(self, m, asks, flushes, restart):
        """Request blocks of instructions ahead of the walk; (the next one, it is there, take it, no beat is due)."""
        per_beat = self.beat_bits // INSTRUCTION_BITS
        block_beats = BLOCK // per_beat
        word = Signal(self.beat_bits, reset_less=True)
        parts = Signal(range(per_beat + 1))  # instructions left in `word`
        take, drained = Signal(), Signal()
        total = Signal(INDEX_BITS)
        asked, due = Signal(INDEX_BITS), Signal(range(2 * block_beats + 1))  # beats: in all, and not come yet
        left = Signal(INDEX_BITS)
        count = Signal(range(block_beats + 1))
        request, come = Signal(), Signal()
        m.d.comb += [
            total.eq((self.instructions + per_beat - 1) >> (per_beat - 1).bit_length()),
            left.eq(total - asked),
            count.eq(Mux(left > block_beats, block_beats, left)),
            self.request.valid.eq(asks & (left != 0) & (due <= block_beats)),
            self.request.payload.offset.eq((self.program + asked) << (self.beat_bits // 8).bit_length() - 1),
            self.request.payload.beats.eq(count),
            request.eq(self.request.valid & self.request.ready),
            self.beats.ready.eq(flushes | (parts == 0) | ((parts == 1) & take)),
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
