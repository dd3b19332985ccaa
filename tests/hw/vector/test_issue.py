"""When slots leave: in order, as early as they may, and never before a word that they read is in memory."""

import random

import pytest

from einloom.hw.vector.issue import Issue
from einloom.hw.vector.slot import READS
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import now_and_then

SHAPES = ((6, 2), (13, 1))
PARTS = {shape: Issue(*shape) for shape in SHAPES}
Slot = dict[str, int]


def slots(seed: int, count: int = 150) -> list[Slot]:
    """Slots that read and write few words, so that many wait."""
    rng = random.Random(seed)
    return [
        {
            **{f"{p}_read": rng.getrandbits(1) for p in READS},
            **{f"{p}_address": rng.randrange(5) for p in READS},
            "write": int(rng.random() < 0.7),
            "to_memory": int(rng.random() < 0.8),
            "address": rng.randrange(5),
            "alone": int(rng.random() < 0.1),
            "unguarded": int(rng.random() < 0.2),
        }
        for _ in range(count)
    ]


def candidate(slot: Slot, number: int) -> dict:
    reads = {name: slot[name] for name in slot if name.endswith(("_read", "_address"))}
    to = {"address": slot["address"]}
    inner = {"write": slot["write"], "to_memory": slot["to_memory"], "immediate": number, "destination": to}
    return {"valid": 1, "alone": slot["alone"], "unguarded": slot["unguarded"], **reads, "slot": inner}


def earliest(given: list[Slot], cycles: list[int], n: int, shape: tuple[int, int]) -> int:
    """The first cycle in which slot `n` may leave, after those that left in `cycles`."""
    memory_cycles, longer = shape
    slot, first = given[n], 0
    for before, cycle in zip(given, cycles, strict=False):
        writes = before["write"] and before["to_memory"]
        reads = slot["alone"] or any(slot[f"{p}_read"] and slot[f"{p}_address"] == before["address"] for p in READS)
        if writes and reads and not slot["unguarded"]:
            first = max(first, cycle + memory_cycles + 1)
        if slot["to_memory"] and not before["to_memory"]:
            first = max(first, cycle + longer + 1)
        first = max(first, cycle + 1)
    return first


def run(shape: tuple[int, int], given: list[Slot], pause: float, gap: float) -> tuple[list[int], list[int], list[int]]:
    """(cycles in which slots were offered, and left, the pauses)"""
    coming, paused = now_and_then(1 - gap, 1), now_and_then(pause, 2)
    offered: list[int] = []
    left: list[int] = []

    def walk(cycle: Cycle) -> None:
        issued = cycle["issued"]
        if issued["valid"]:
            assert issued["slot"]["immediate"] == len(left), "out of order"
            left.append(cycle.number)
        else:
            quiet = [issued[f"{p}_read"] for p in READS] + [issued["slot"][name] for name in ("write", "last")]
            assert not any(quiet), "something is done without a slot"
        here = cycle["candidate"]["valid"]
        if here and cycle["taken"]:
            here = 0
            offered.append(cycle.number)
        if not here:
            n = len(offered)
            there = n < len(given) and coming(cycle.number)
            cycle.set("candidate", candidate(given[n], n) if there else {"valid": 0})

    bench = PartBench(
        PARTS[shape], held={"pause": paused}, partners=[walk], until=lambda: len(left) == len(given), limit=20_000
    )
    bench.check(lambda _: {})
    return offered, left, [paused(n) for n in range(left[-1] + 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_slots_leave_as_early_as_they_may(shape: tuple[int, int]) -> None:
    given = slots(5)
    offered, left, _ = run(shape, given, pause=0.0, gap=0.0)
    for n, cycle in enumerate(left):
        assert cycle == max(earliest(given, left[:n], n, shape), offered[n] + 1), f"slot {n}: {given[n]}"


@pytest.mark.parametrize("shape", SHAPES)
def test_slots_wait_for_pauses_unless_they_must_not(shape: tuple[int, int]) -> None:
    given = slots(6)
    _, left, pauses = run(shape, given, pause=0.4, gap=0.4)
    for n, cycle in enumerate(left):
        assert cycle >= earliest(given, left[:n], n, shape), f"slot {n}: {given[n]}"
        assert given[n]["unguarded"] or not pauses[cycle], f"slot {n}: {given[n]}"
    assert any(pauses[cycle] for cycle in left)  # the unguarded ones
