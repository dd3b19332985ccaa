"""When a word of a vector instruction may be read."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.vector.address import ADDRESS_BITS
from einloom.hw.vector.slot import CANDIDATE, READS


class Issue(Part):
    """Lets slots pass in order, one a cycle, each when no word that it reads is still to be written.

    The destinations of the slots of the last `memory_cycles` are compared with the candidate's reads while it comes in;
    what agrees is kept as one bit per age, and as it waits its bits grow older with their slots until the last one is
    gone. A slot whose result goes elsewhere takes longer by `longer` cycles, so one for the vector memory also waits
    until it can't overtake it. That no bit is left is found a cycle ahead: whether a slot leaves is the start of long
    paths.

    Parameters
    ----------
    memory_cycles : from the read of a word, those in which a read would not see its result.
    longer : at least 1.

    Members
    -------
    candidate : In
    pause : In(1), no slot leaves in this cycle, except those that are to have no gap before them
    taken : Out(1), the candidate is taken in
    issued : Out(CANDIDATE), the one whose words are read in this cycle; if there is none, it is neither valid nor reads
        or writes anything
    """

    def __init__(self, memory_cycles: int, longer: int):
        super().__init__({"candidate": In(CANDIDATE), "pause": In(1), "taken": Out(1), "issued": Out(CANDIDATE)})

    def elaborate(self, platform):
        m = Module()
        candidate, held = self.candidate, Signal(CANDIDATE, reset_less=True)
        valid = Signal()
        awaited = Signal(self.memory_cycles)  # bit n: the slot issued n + 1 cycles ago writes what the held one reads
        overtaken = Signal(self.longer)  # bit n: the slot issued n + 1 cycles ago must come before the held one
        clear = Signal()  # no such bit is left, and there is a slot
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
        pending = [(writes, held.slot.destination.address)]
        for age in range(1, self.memory_cycles):
            flag = Signal(name=f"pending_{age}")
            address = Signal(ADDRESS_BITS, name=f"pending_address_{age}", reset_less=True)
            m.d.sync += [flag.eq(pending[-1][0]), address.eq(pending[-1][1])]
            pending.append((flag, address))
        conflicts = []
        for flag, address in pending:
            reads = Cat(candidate[f"{p}_read"] & (candidate[f"{p}_address"] == address) for p in READS)
            conflicts.append(flag & ~candidate.unguarded & (candidate.alone | reads.any()))
        slower = [leaves & ~held.slot.to_memory]
        for age in range(1, self.longer):
            flag = Signal(name=f"slower_{age}")
            m.d.sync += flag.eq(slower[-1])
            slower.append(flag)

        def wait(there, slots, longer_ones):
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
        return m
