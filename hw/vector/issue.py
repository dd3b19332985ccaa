"""Holds each word of a vector instruction until it may be read."""

from amaranth import Cat, Const, Mux, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import Delays
from einloom.hw.part import Part
from einloom.hw.vector.slot import CANDIDATE, READS


class Issue(Part):
    """Lets slots pass in order, each when every word that it reads has been written. Throughput: a slot every cycle.

    As a candidate comes in, its reads are compared with the destinations of the slots issued in the last
    `memory_cycles`. Each hit sets bit n for "the slot issued n + 1 cycles ago". The bits shift every cycle the slot
    waits; it may go when all are 0.

    A result that does not go to the vector memory takes `longer` cycles more. A slot for the vector memory behind it
    waits as well, so that no result overtakes another. That all bits are 0 is found a cycle ahead, because it starts
    long paths. Latency: 1 cycle without a hit.

    Parameters
    ----------
    memory_cycles : cycles after the read of a word in which a read would not see its result.
    longer : at least 1.

    Members
    -------
    candidate : In
    pause : In(1), no slot leaves in this cycle, except those that are to have no gap before them
    taken : Out(1), the candidate is taken in
    issued : Out(CANDIDATE), the slot whose words are read in this cycle; if there is none, it is not valid and neither
        reads nor writes
    """

    def __init__(self, memory_cycles: int, longer: int):
        super().__init__({"candidate": In(CANDIDATE), "pause": In(1), "taken": Out(1), "issued": Out(CANDIDATE)})

    def build(self, m, platform):
        candidate, held = self.candidate, Signal(CANDIDATE, reset_less=True)
        valid = Signal()
        awaited = Signal(self.memory_cycles)  # bit n: the slot issued n + 1 cycles ago writes what the held one reads
        overtaken = Signal(self.longer)  # bit n: the slot issued n + 1 cycles ago must come before the held one
        clear = Signal()  # there is a slot, and all bits are 0
        leaves = Signal()
        m.d.comb += [
            leaves.eq(clear & ~(self.pause & ~held.unguarded)),
            self.taken.eq(leaves | ~valid),
            self.issued.eq(held),
            self.issued.valid.eq(leaves),
            self.issued.slot.peak.enable.eq(leaves),
            self.issued.slot.write.eq(leaves & held.slot.write),
            self.issued.slot.last.eq(leaves & held.slot.last),
            *(self.issued[f"{p}_read"].eq(leaves & held[f"{p}_read"]) for p in READS),
        ]

        writes = leaves & held.slot.to_memory & held.slot.write
        issued = Delays(m, {"write": writes, "address": held.slot.destination.address}, resets=("write",))
        conflicts = []
        for age in range(self.memory_cycles):
            address = issued.at("address", age)
            reads = Cat(candidate[f"{p}_read"] & (candidate[f"{p}_address"] == address) for p in READS)
            conflicts.append(issued.at("write", age) & ~candidate.unguarded & (candidate.alone | reads.any()))
        ages = Delays(m, {"slower": leaves & ~held.slot.to_memory}, resets=("slower",))
        slower = [ages.at("slower", age) for age in range(self.longer)]

        def wait(there, slots, longer_ones):
            """Wait for the bits of `slots` and of `longer_ones`."""
            m.d.sync += [
                awaited.eq(slots),
                overtaken.eq(longer_ones),
                clear.eq(there & ~slots.any() & ~longer_ones.any()),
            ]

        with m.If(self.taken):
            m.d.sync += [held.eq(candidate), valid.eq(candidate.valid)]
            wait(candidate.valid, Cat(conflicts), Mux(candidate.slot.to_memory, Cat(slower), 0))
        with m.Else():
            wait(1, Cat(Const(0, 1), awaited[:-1]), Cat(Const(0, 1), overtaken[:-1]))
