"""The vector unit: vector instructions on the words of the vector memory."""

from amaranth import Cat, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import Delays
from einloom.hw.part import Part
from einloom.hw.replicated import Replicated
from einloom.hw.vector import lane, store_converter
from einloom.hw.vector.float32 import BITS
from einloom.hw.vector.issue import Issue
from einloom.hw.vector.lane import PARTIAL, VectorLane
from einloom.hw.vector.reduction import shuffled
from einloom.hw.vector.sequencer import VectorSequencer
from einloom.hw.vector.slot import DESTINATION, INSTRUCTION, READS, SLOT, TOKEN_BITS, read_port
from einloom.hw.vector.store_converter import StoreConverter
from einloom.hw.wires import choose, feed, join, members
from einloom.spec.isa import Space, VectorOp

ACTIVATION_BITS = 8
QUERY_BITS = 16


def result_layout(lanes: int) -> data.StructLayout:
    """A word that leaves the unit, and where it goes."""
    return data.StructLayout({"valid": 1, "destination": DESTINATION, "data": data.ArrayLayout(BITS, lanes)})


def result_latency(read_latency: int, space: int) -> int:
    """Cycles from the read of a word to its result for `space`."""
    return read_latency + lane.LATENCY + (0 if space == Space.VECTOR else store_converter.LATENCY)


class VectorUnit(Part):
    """Carries out instructions of the opcode "vector" (spec/isa.py) in order. Throughput: a word every cycle.

    Latency: an instruction takes 2 cycles, its slots, and result_latency from the last slot to the last result, when it
    is done. N elementwise words are N slots. A row of n words of a SUM is n slots, rounded up to a multiple of
    REDUCE_PARTIALS, and those of `folds`; one of a MAXABS n + log2(lanes). The destination may be an operand if no word
    is read after another word's result went there.

    With `overlap` an instruction is taken with its last slot. A word of the next one is read as soon as the vector
    memory has it. So an instruction costs its slots and one cycle, unless it waits for a result. A SUM waits for all.

    Parameters
    ----------
    lanes : a power of two, at least 2.
    read_latency : cycles from an address of the vector memory to its word.
    write_latency : cycles from a result to the read that finds it there, 1 if nothing is in between.
    kv_bits : width of an element of KEY_VALUES.
    overlap : an instruction is taken with its last slot, otherwise when it is done.
    exchange : EXCHANGE is one of the operations.

    Members
    -------
    instruction : In, stream
    tokens : In, of the chunk, stable like the instruction
    pause : In(1), no word is read in this cycle, so there is no result result_latency later; a SUM at work ignores it
    done : Out(1), the oldest instruction's last result comes in this cycle
    signal : Out, its field of that name, with `done`
    idle : Out(1), no instruction is there, and no result will come
    a, b, c : Out, ports of the vector memory
    result : Out, valid for one cycle, without back-pressure; integers with their sign extended to 32 bits
    busy : Out(1), a word or a reduction's partial results go into the lanes
    """

    def __init__(
        self, lanes: int, read_latency: int, write_latency: int, kv_bits: int, overlap: bool, exchange: bool = False
    ):
        super().__init__({
            "instruction": In(stream.Signature(INSTRUCTION)),
            "tokens": In(TOKEN_BITS),
            "pause": In(1),
            "done": Out(1),
            "signal": Out(SLOT["signal"].shape),
            "idle": Out(1),
            **members(Out, *READS, shape=read_port(lanes)),
            "result": Out(result_layout(lanes)),
            "busy": Out(1),
        })

    def build(self, m, platform):
        sequencer = VectorSequencer(self.lanes, self.overlap, self.exchange).place(m, "sequencer", platform)
        memory_cycles = result_latency(self.read_latency, Space.VECTOR) + self.write_latency - 1
        issue = Issue(memory_cycles, store_converter.LATENCY).place(m, "issue", platform)
        join(m, self.instruction, sequencer.instruction)
        feed(m, self, sequencer, "tokens", "done")
        feed(m, issue, sequencer, "taken")
        feed(m, sequencer, self, "idle")
        feed(m, sequencer, issue, "candidate")
        feed(m, self, issue, "pause")
        m.d.comb += [
            self.busy.eq(issue.issued.valid),
            *(getattr(getattr(self, p), o).eq(issue.issued[f"{p}_{o}"]) for p in READS for o in ("address", "read")),
        ]
        # The fields of a slot move on through the pipeline; `write` and `last` must be 0 until a slot comes.
        fields = {name: issue.issued.slot[name] for name in SLOT.members}
        slots = Delays(m, fields, resets=("write", "last"))
        converters = self._converters(m, platform, slots)
        m.d.comb += converters.value.eq(self._lanes(m, platform, slots))
        self._results(m, slots, converters)

    def _lanes(self, m, platform, slots):
        """Place the lanes and the wires of a reduction between them; returns their results."""
        sliced = ("a_data", "b_data", "c_data", "low", "high", "partial", "result")
        lanes = Replicated(VectorLane(), self.lanes, sliced=sliced).place(m, "lanes", platform)
        bits = PARTIAL.size
        partial = [lanes.partial[n * bits : (n + 1) * bits] for n in range(self.lanes)]
        start = self.read_latency
        c_data = (
            self._exchanged(m, slots.at("op", start), slots.at("immediate", start)) if self.exchange else self.c.data
        )
        m.d.comb += [
            lanes.a_data.eq(self.a.data),
            lanes.b_data.eq(self.b.data),
            lanes.c_data.eq(c_data),
            lanes.immediate.eq(slots.at("immediate", start)),
            lanes.low.eq(Cat(partial[low] for low, _ in shuffled(self.lanes))),
            lanes.high.eq(Cat(partial[high] for _, high in shuffled(self.lanes))),
            *(lanes.control[name].eq(slots.at(name, start + cycle)) for name, (_, cycle) in lane.CONTROLS.items()),
        ]
        return lanes.result

    def _exchanged(self, m, op, immediate):
        """Operand c, of which lane n takes that of lane n xor `immediate` in the operation EXCHANGE."""
        data = self.c.data
        for bit in range((self.lanes - 1).bit_length()):
            other = Cat(data.word_select(n ^ 1 << bit, BITS) for n in range(self.lanes))
            stage = Signal(self.lanes * BITS, name=f"exchanged_{bit}")
            m.d.comb += stage.eq(Mux((op == VectorOp.EXCHANGE) & immediate[bit], other, data))
            data = stage
        return data

    def _converters(self, m, platform, slots):
        """Place a converter for each lane, with the width that the slot's destination asks for."""
        widths = tuple(sorted({ACTIVATION_BITS, QUERY_BITS, self.kv_bits}))
        converter = StoreConverter(widths)
        converters = Replicated(converter, self.lanes, sliced=("value", "stored")).place(m, "converters", platform)
        select = Signal(range(max(len(widths), 2)))
        space = slots.at("destination", result_latency(self.read_latency, Space.VECTOR) + 1).space
        bits = {(Space.QUERIES, Space.QUERY_SCALE): QUERY_BITS, Space.KEY_VALUES: self.kv_bits}
        cases = {spaces: widths.index(each) for spaces, each in bits.items()}
        choose(m, select, space, cases, widths.index(ACTIVATION_BITS))
        m.d.comb += converters.select.eq(select)
        return converters

    def _results(self, m, slots, converters):
        """Send words of the vector memory at once, integers after their conversion; never two in one cycle."""
        early, late = (result_latency(self.read_latency, space) for space in (Space.VECTOR, Space.ACTIVATIONS))
        to_memory, elsewhere = slots.at("to_memory", early), ~slots.at("to_memory", late)
        convert = slots.at("write", late) & elsewhere
        done_late = slots.at("last", late) & elsewhere
        m.d.comb += [
            converters.convert.eq(convert),
            self.result.valid.eq((slots.at("write", early) & to_memory) | convert),
            self.result.destination.eq(Mux(convert, slots.at("destination", late), slots.at("destination", early))),
            self.result.data.eq(converters.stored),
            self.done.eq((slots.at("last", early) & to_memory) | done_late),
            self.signal.eq(Mux(done_late, slots.at("signal", late), slots.at("signal", early))),
        ]
