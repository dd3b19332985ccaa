"""The cycles that a vector unit takes."""

from collections.abc import Iterator, Sequence

from einloom.hw.vector import float_adder, store_converter
from einloom.hw.vector.vector_unit import VectorUnit, result_latency
from einloom.sim.bench.vector import Step
from einloom.spec.instruction import Instruction
from einloom.spec.isa import REDUCE_PARTIALS, Space, VectorOp


class Schedule:
    """The cycles of a unit's slots, by the rules that VectorUnit and Issue state."""

    def __init__(self, unit: VectorUnit):
        self.unit = unit
        self.written: dict[int, int] = {}  # the cycle from which a word can be read, by address
        self.slower = -9  # the last cycle in which a slot was issued whose result goes elsewhere

    def done(self, steps: Sequence[Step]) -> list[int]:
        """The cycle in which each is done, if the first one is there in cycle 0."""
        found, here, issued = [], 0, 1
        for step in steps:
            i = step.instruction
            latency = result_latency(self.unit.read_latency, i["space"])
            taken = here  # of the slot before: the first one is there a cycle after its instruction
            for number, (reads, write) in enumerate(self.slots(step)):
                taken = max(taken + 1, issued)
                issued = max(taken + 1, self.free(i, number, reads))
                if write is not None and i["space"] == Space.VECTOR:
                    self.written[write] = issued + latency + self.unit.write_latency
                if i["space"] != Space.VECTOR:
                    self.slower = issued
            found.append(issued + latency)
            here = (taken if self.unit.overlap else found[-1]) + 1
        return found

    def free(self, i: Instruction, number: int, reads: Sequence[int]) -> int:
        """The first cycle in which a slot may be issued, for all that is in flight."""
        wait = [self.slower + store_converter.LATENCY + 1] if i["space"] == Space.VECTOR else []
        if i["op"] != VectorOp.SUM:
            wait += [self.written.get(address, 0) for address in reads]
        elif not number:
            wait += self.written.values()
        return max(wait, default=0)

    def slots(self, step: Step) -> Iterator[tuple[Sequence[int], int | None]]:
        """(words that it reads, word that it writes) of each slot."""
        i = step.instruction
        words, lane_steps = i["inner"], (self.unit.lanes - 1).bit_length()
        if not step.tokens * i["outer"] * words:
            yield (), None
            return
        tail = lane_steps * (i["op"] == VectorOp.MAXABS)
        if i["op"] == VectorOp.SUM:
            tail = -words % REDUCE_PARTIALS + float_adder.LATENCY * ((REDUCE_PARTIALS - 1).bit_length() + lane_steps)
        addresses = {name: step.addresses(name).tolist() for name in step.operands()}
        written = step.addresses("d")[..., : 1 if tail else None].tolist()
        for token in range(step.tokens):
            for outer in range(i["outer"]):
                for inner in range(words):
                    reads = [a[token][outer][inner] for a in addresses.values()]
                    yield reads, None if tail else written[token][outer][inner]
                yield from [((), None)] * (tail - 1)
                if tail:
                    yield (), written[token][outer][0]
