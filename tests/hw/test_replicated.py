"""Copies of a part by rule: sliced, chained and shared ports."""

import random

from amaranth import Module, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.replicated import Replicated
from tests.hw.around import check_pipeline

BITS = 8


class Link(Part):
    """A register for its own value times what is shared, and the sum with what comes from the next copy."""

    def __init__(self):
        ports = {"own": In(BITS), "shared": In(BITS), "above": In(BITS), "below": Out(BITS), "kept": Out(BITS)}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kept = Signal(BITS)
        m.d.sync += kept.eq(self.own ^ self.shared)
        m.d.comb += [self.kept.eq(kept), self.below.eq(self.own + self.above)]
        return m


def test_slices_go_to_their_copies_and_a_chain_runs_from_the_last_to_the_first() -> None:
    count, rng = 5, random.Random(1)
    part = Replicated(Link(), count, sliced=("own", "kept"), chain=("above", "below"))
    rows = [[rng.getrandbits(BITS) for _ in range(count)] for _ in range(30)]
    own = [sum(v << BITS * n for n, v in enumerate(row)) for row in rows]
    shared, above = ([rng.getrandbits(BITS) for _ in rows] for _ in range(2))
    kept = [sum((v ^ s) << BITS * n for n, v in enumerate(row)) for row, s in zip(rows, shared, strict=True)]
    below = [(sum(row) + a) % 256 for row, a in zip(rows, above, strict=True)]
    inputs = {"own": own, "shared": shared, "above": above}
    check_pipeline(part, "kept", 1, kept, **inputs)
    check_pipeline(part, "below", 0, below, **inputs)
    assert part.slice_bits("own") == BITS
