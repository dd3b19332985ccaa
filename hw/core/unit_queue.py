"""The queue in front of a unit: it keeps instructions until their permits are there."""

from amaranth import Cat, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.core.layouts import CHUNK, INDEX_BITS
from einloom.hw.core.permit_board import MASK_BITS
from einloom.hw.isa_layout import HEADER_LAYOUT
from einloom.hw.part import Part
from einloom.hw.wires import join, members
from einloom.spec.isa import INSTRUCTION_BITS, UNITS, Condition

DEPTH = 16  # instructions that may wait, so that the sequencer gets to those of other units

# An instruction and its number in the program.
QUEUED = data.StructLayout({"instruction": INSTRUCTION_BITS, "index": INDEX_BITS})


class UnitQueue(Part):
    """Presents instructions in order, each when the units that it waits for have given their permits.

    An instruction whose condition does not hold is skipped: it only takes its permits and gives its own. So is every
    instruction of a job without tokens. Throughput: an instruction every cycle while their permits are there. Latency:
    2 cycles, and none from a permit to the instruction that waits for it.

    Parameters
    ----------
    overlaps : the unit takes an instruction before the one before is complete. Then `ready` is not completion. The unit
        gives the permits itself; the queue gives those of skipped instructions, when the unit is idle.
    skips : the unit overlaps and is told which instructions to skip. It passes their permits on in order, so they need
        not wait until it is idle.

    Members
    -------
    i : In, stream of QUEUED
    chunk : In, stable while an instruction is there
    available, take, give : this unit's ports of the PermitBoard
    instruction : Out, stream; `ready` is completion
    unit_idle : In(1), nothing is in a unit that overlaps
    skip : Out(1), the condition of the presented instruction does not hold
    index : Out, number of the instruction that is presented or waits
    waiting : Out(1), an instruction waits for permits
    completed : Out(1), an instruction is complete
    idle : Out(1), there is none
    """

    def __init__(self, overlaps: bool = False, skips: bool = False):
        super().__init__({
            "i": In(stream.Signature(QUEUED)),
            "chunk": In(CHUNK),
            "available": In(MASK_BITS),
            **members(Out, "take", "give", shape=MASK_BITS),
            "instruction": Out(stream.Signature(INSTRUCTION_BITS)),
            "index": Out(INDEX_BITS),
            **members(Out, "waiting", "completed", "idle", "skip"),
            "unit_idle": In(1),
        })

    def build(self, m, platform):
        queue = StreamFifo(QUEUED.size, DEPTH).place(m, "queue", platform)
        entry = data.View(QUEUED, queue.o.payload)
        head, valid, started = Signal(QUEUED), Signal(), Signal()
        fields = data.View(HEADER_LAYOUT, head.instruction[: HEADER_LAYOUT.size])
        go, wanted, load = Signal(), Signal(reset_less=True), Signal()
        quiet = self.unit_idle if self.overlaps else 1
        to_unit = 1 if self.skips else wanted
        gives = 0 if self.skips else ~wanted if self.overlaps else 1
        m.d.comb += [
            go.eq(valid & (started | ~Cat(fields.wait[u] & ~self.available[u] for u in UNITS).any())),
            self.take.eq(Mux(go & ~started, fields.wait, 0)),
            self.instruction.payload.eq(head.instruction),
            self.instruction.valid.eq(go & to_unit),
            self.skip.eq(~wanted),
            self.completed.eq(go & Mux(to_unit, self.instruction.ready, quiet)),
            self.give.eq(Mux(self.completed & gives, fields.signal, 0)),
            self.index.eq(head.index),
            self.waiting.eq(valid & ~go),
            self.idle.eq(~valid & (queue.level == 0) & quiet),
            load.eq(~valid | self.completed),
            queue.o.ready.eq(load),
        ]
        join(m, self.i, queue.i)
        with m.If(load):
            m.d.sync += [head.eq(entry), valid.eq(queue.o.valid), started.eq(0)]
            m.d.sync += wanted.eq(self._wanted(entry))
        with m.Elif(go):
            m.d.sync += started.eq(1)

    def _wanted(self, entry):
        """The condition of a queued instruction holds."""
        fields = data.View(HEADER_LAYOUT, entry.instruction[: HEADER_LAYOUT.size])
        tokens = self.chunk.tokens
        present = Mux(fields.condition == Condition.TOKEN_PRESENT, fields.first < tokens, tokens != 0)
        return present & ((fields.condition != Condition.LAST_CHUNK) | self.chunk.last)
