"""The vector unit: vector instructions on the words of the vector memory."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.replicated import Replicated
from einloom.hw.vector import lane, store_converter
from einloom.hw.vector.address import ADDRESS_BITS
from einloom.hw.vector.float32 import BITS
from einloom.hw.vector.issue import Issue
from einloom.hw.vector.lane import PARTIAL, VectorLane
from einloom.hw.vector.reduction import shuffled
from einloom.hw.vector.sequencer import VectorSequencer
from einloom.hw.vector.slot import DESTINATION, INSTRUCTION, READS, SLOT, TOKEN_BITS
from einloom.hw.vector.store_converter import StoreConverter
from einloom.spec.isa import Space

ACTIVATION_BITS = 8
QUERY_BITS = 16


def result_layout(lanes: int) -> data.StructLayout:
    """A word that leaves the unit, and where it goes."""
    return data.StructLayout({"valid": 1, "destination": DESTINATION, "data": data.ArrayLayout(BITS, lanes)})


def result_latency(read_latency: int, space: int) -> int:
    """Cycles from the read of a word to its result for `space`."""
    return read_latency + lane.LATENCY + (0 if space == Space.VECTOR else store_converter.LATENCY)


class VectorUnit(Part):
    """Carries out instructions of the opcode "vector" (spec/isa.py) in order, a word a cycle.

    An instruction takes 2 cycles, those of its slots, and then result_latency to its last result, in which cycle it
    is done: N slots for N elementwise words; for a row of n words of a SUM n, rounded up to a multiple of
    REDUCE_PARTIALS, and those of `folds`; for one of a MAXABS n + log2(lanes). The destination may be an operand, as
    long as no word is read after another one's result went there.

    With `overlap` an instruction is taken with its last slot, and the next one's words are read as soon as the results
    that they are, are in the vector memory: an instruction costs a cycle and its slots, unless it waits for such
    a result. A SUM waits for all results.

    Parameters
    ----------
    lanes : a power of two, at least 2.
    read_latency : of the vector memory: cycles from an address to its word.
    write_latency : cycles from a result to the read that finds it there, 1 if nothing is in between.
    kv_bits : of an element of KEY_VALUES.
    overlap : otherwise an instruction is taken when it is done.

    Members
    -------
    instruction : In, stream
    tokens : In, of the chunk, stable like the instruction
    pause : In(1), no word is read in this cycle if the instruction allows it, so that there is no result
        result_latency later
    done : Out(1), the oldest instruction is complete, its last result comes in this cycle
    signal : Out, its field of that name, with `done`
    idle : Out(1), no instruction is there, nor a result of one to come
    a_address, a_read, a_data, ... : Out, Out, In, ports of the vector memory, of which c is only used where y is a
        vector
    result : Out, valid for one cycle, without back-pressure; integers with their sign extended to 32 bits
    busy : Out(1), a word goes into the lanes, or a reduction's partial results do
    """

    def __init__(self, lanes: int, read_latency: int, write_latency: int, kv_bits: int, overlap: bool):
        super().__init__({
            "instruction": In(stream.Signature(INSTRUCTION)),
            "tokens": In(TOKEN_BITS),
            "pause": In(1),
            "done": Out(1),
            "signal": Out(SLOT["signal"].shape),
            "idle": Out(1),
            **{f"{p}_address": Out(ADDRESS_BITS) for p in READS},
            **{f"{p}_read": Out(1) for p in READS},
            **{f"{p}_data": In(BITS * lanes) for p in READS},
            "result": Out(result_layout(lanes)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        sequencer = VectorSequencer(self.lanes, self.overlap).place(m, "sequencer", platform)
        memory_cycles = result_latency(self.read_latency, Space.VECTOR) + self.write_latency - 1
        issue = Issue(memory_cycles, store_converter.LATENCY).place(m, "issue", platform)
        m.d.comb += [
            sequencer.instruction.payload.eq(self.instruction.payload),
            sequencer.instruction.valid.eq(self.instruction.valid),
            self.instruction.ready.eq(sequencer.instruction.ready),
            sequencer.tokens.eq(self.tokens),
            sequencer.done.eq(self.done),
            sequencer.taken.eq(issue.taken),
            self.idle.eq(sequencer.idle),
            issue.candidate.eq(sequencer.candidate),
            issue.pause.eq(self.pause),
            self.busy.eq(issue.issued.valid),
            *(getattr(self, f"{p}_{o}").eq(issue.issued[f"{p}_{o}"]) for p in READS for o in ("address", "read")),
        ]
        slots = Slots(m, issue.issued.slot)
        converters = self._converters(m, platform, slots)
        m.d.comb += converters.value.eq(self._lanes(m, platform, slots))
        self._results(m, slots, converters)
        return m

    def _lanes(self, m, platform, slots):
        """The lanes, and how they meet in a reduction; their results."""
        sliced = ("a_data", "b_data", "c_data", "low", "high", "partial", "result")
        lanes = Replicated(VectorLane(), self.lanes, sliced=sliced).place(m, "lanes", platform)
        bits = PARTIAL.size
        partial = [lanes.partial[n * bits : (n + 1) * bits] for n in range(self.lanes)]
        start, control = self.read_latency, lanes.control
        m.d.comb += [
            lanes.a_data.eq(self.a_data),
            lanes.b_data.eq(self.b_data),
            lanes.c_data.eq(self.c_data),
            lanes.immediate.eq(slots.at("immediate", start)),
            lanes.low.eq(Cat(partial[low] for low, _ in shuffled(self.lanes))),
            lanes.high.eq(Cat(partial[high] for _, high in shuffled(self.lanes))),
            control.factor.eq(slots.at("factor", start)),
            control.addend.eq(slots.at("addend", start)),
            control.op.eq(slots.at("op", start + lane.MULTIPLY)),
            control.peak.eq(slots.at("peak", start + lane.PEAK)),
            control.negate.eq(slots.at("negate", start + lane.NEGATE)),
            control.left.eq(slots.at("left", start + lane.ADD)),
            control.right.eq(slots.at("right", start + lane.ADD)),
            control.integer.eq(slots.at("integer", start + lane.LATENCY)),
        ]
        return lanes.result

    def _converters(self, m, platform, slots):
        widths = tuple(sorted({ACTIVATION_BITS, QUERY_BITS, self.kv_bits}))
        converter = StoreConverter(widths)
        converters = Replicated(converter, self.lanes, sliced=("value", "stored")).place(m, "converters", platform)
        select = Signal(range(max(len(widths), 2)))
        with m.Switch(slots.at("destination", result_latency(self.read_latency, Space.VECTOR) + 1).space):
            with m.Case(Space.QUERIES, Space.QUERY_SCALE):
                m.d.comb += select.eq(widths.index(QUERY_BITS))
            with m.Case(Space.KEY_VALUES):
                m.d.comb += select.eq(widths.index(self.kv_bits))
            with m.Default():
                m.d.comb += select.eq(widths.index(ACTIVATION_BITS))
        m.d.comb += converters.select.eq(select)
        return converters

    def _results(self, m, slots, converters):
        """Words of the vector memory leave at once, integers when they are converted; never two in one cycle."""
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


class Slots:
    """The fields of a SLOT as the slot moves on through the pipeline, each no further than it is used."""

    RESET = ("write", "last")  # the fields that must be 0 until a slot comes

    def __init__(self, m: Module, slot):
        self._m = m
        self._taps = {name: [slot[name]] for name in SLOT.members}

    def at(self, name: str, cycles: int):
        """The field of the slot that was issued `cycles` cycles ago."""
        taps = self._taps[name]
        while len(taps) <= cycles:
            shape = SLOT.members[name]
            tap = Signal(shape, name=f"{name}_{len(taps)}", reset_less=name not in self.RESET)
            self._m.d.sync += tap.eq(taps[-1])
            taps.append(tap)
        return taps[cycles]
