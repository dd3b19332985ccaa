"""The vector unit: vector instructions on the words of the vector memory."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.isa import Space
from hw.array.replicated import Replicated
from hw.part import Part
from hw.vector import lane, store_converter
from hw.vector.address import ADDRESS_BITS
from hw.vector.float32 import BITS
from hw.vector.lane import PARTIAL, VectorLane
from hw.vector.reduction import shuffled
from hw.vector.sequencer import DESTINATION, INSTRUCTION, READS, SLOT, TOKEN_BITS, VectorSequencer
from hw.vector.store_converter import StoreConverter

ACTIVATION_BITS = 8
QUERY_BITS = 16


def result_layout(lanes: int) -> data.StructLayout:
    """A word that leaves the unit, and where it goes."""
    return data.StructLayout({"valid": 1, "destination": DESTINATION, "data": data.ArrayLayout(BITS, lanes)})


def result_latency(read_latency: int) -> int:
    """Cycles from the read of a word to its result."""
    return read_latency + lane.LATENCY + store_converter.LATENCY


class VectorUnit(Part):
    """Carries out instructions of the opcode "vector" (einloom/isa.py), one after the other, a word a cycle.

    An elementwise instruction of N words takes N + 1 + result_latency cycles, from the first in which it is there to
    the one in which it is taken; its last result comes in that cycle, and the next instruction may come in the next.
    Each row of a SUM of n words takes n, rounded up to a multiple of REDUCE_PARTIALS, and the cycles of `folds`; of a
    MAXABS n and log2(lanes). A result lags its reads by result_latency, so the destination may be an operand.

    Parameters
    ----------
    lanes : a power of two, at least 2.
    read_latency : of the vector memory: cycles from an address to its word.
    kv_bits : of an element of KEY_VALUES.

    Members
    -------
    instruction : In, stream; taken when its last result is written
    tokens : In, of the chunk
    a_address, a_read, a_data, ... : Out, Out, In, ports of the vector memory, of which c is only used where y is a
        vector
    result : Out, valid for one cycle, without back-pressure; integers with their sign extended to 32 bits
    busy : Out(1), a word goes into the lanes, or a reduction's partial results do
    """

    def __init__(self, lanes: int, read_latency: int, kv_bits: int):
        self.lanes = lanes
        self.read_latency = read_latency
        self.kv_bits = kv_bits
        super().__init__(
            {
                "instruction": In(stream.Signature(INSTRUCTION)),
                "tokens": In(TOKEN_BITS),
                **{f"{p}_address": Out(ADDRESS_BITS) for p in READS},
                **{f"{p}_read": Out(1) for p in READS},
                **{f"{p}_data": In(BITS * lanes) for p in READS},
                "result": Out(result_layout(lanes)),
                "busy": Out(1),
            },
            lanes=lanes,
            read_latency=read_latency,
            kv_bits=kv_bits,
        )

    def elaborate(self, platform):
        m = Module()
        sequencer = VectorSequencer(self.lanes).place(m, "sequencer", platform)
        m.d.comb += [
            sequencer.instruction.payload.eq(self.instruction.payload),
            sequencer.instruction.valid.eq(self.instruction.valid),
            self.instruction.ready.eq(sequencer.instruction.ready),
            sequencer.tokens.eq(self.tokens),
            self.busy.eq(sequencer.busy),
            *[getattr(self, f"{p}_{o}").eq(getattr(sequencer, f"{p}_{o}")) for p in READS for o in ("address", "read")],
        ]
        slots = Slots(m, sequencer.slot)
        results = self._lanes(m, platform, slots)
        converters = self._converters(m, platform, slots)
        end = result_latency(self.read_latency)
        m.d.comb += [
            converters.value.eq(results),
            sequencer.done.eq(slots.at("last", end)),
            self.result.valid.eq(slots.at("write", end)),
            self.result.destination.eq(slots.at("destination", end)),
            self.result.data.eq(converters.stored),
        ]
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
        start = self.read_latency + lane.LATENCY
        space = slots.at("destination", start + 1).space
        select = Signal(range(len(widths)))
        with m.Switch(space):
            with m.Case(Space.QUERIES, Space.QUERY_SCALE):
                m.d.comb += select.eq(widths.index(QUERY_BITS))
            with m.Case(Space.KEY_VALUES):
                m.d.comb += select.eq(widths.index(self.kv_bits))
            with m.Default():
                m.d.comb += select.eq(widths.index(ACTIVATION_BITS))
        convert = slots.at("destination", start + store_converter.LATENCY).space != Space.VECTOR
        m.d.comb += [converters.select.eq(select), converters.convert.eq(convert)]
        return converters


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
