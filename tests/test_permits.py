"""mapping/schedule/permits.py: instructions with permits, executed by units in any order that the permits allow."""

import random
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import strategies as st

from einloom.mapping.regions import Memory, Region
from einloom.mapping.schedule.permits import Step, insert_permits
from einloom.spec.instruction import Instruction
from einloom.spec.isa import Unit
from tests.properties import given, settings
from tests.units import Execution, execute

OPCODES = {
    Unit.CONTROL: "next",
    Unit.WEIGHTS: "weights",
    Unit.GEMM: "gemm",
    Unit.VECTOR: "vector",
    Unit.ATTENTION: "attend",
    Unit.LOAD: "load",
    Unit.STORE: "store",
}
REGIONS = [Region(f"r{n}", Memory.VECTOR, n, 1) for n in range(5)]


def step(unit: Unit, reads: Sequence[int] = (), writes: Sequence[int] = ()) -> Step:
    """An instruction of the unit that touches these of REGIONS."""
    return Step(
        Instruction.make(OPCODES[unit]),
        frozenset(REGIONS[n] for n in reads),
        frozenset(REGIONS[n] for n in writes),
    )


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Up to 40 instructions, few of them barriers, which touch no region."""
    regions = st.lists(st.integers(0, len(REGIONS) - 1), max_size=3)
    units = draw(st.lists(st.sampled_from([*Unit, *Unit, *Unit][1:]), max_size=40))
    return [step(u, draw(regions), draw(regions)) if u is not Unit.CONTROL else step(u) for u in units]


def dependencies(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """Pairs of instructions of which the second must not start before the first is complete."""
    return [
        (a, b)
        for a, b in combinations(range(len(steps)), 2)
        if steps[a].writes & (steps[b].reads | steps[b].writes) or steps[a].reads & steps[b].writes
    ]


def violated(steps: Sequence[Step], execution: Execution) -> list[tuple[int, int]]:
    return [(a, b) for a, b in dependencies(steps) if execution.started[b] < execution.completed[a]]


@settings(max_examples=300)
@given(steps(), st.integers(1, 6), st.integers(0, 1 << 32))
def test_every_order_of_events_respects_the_dependencies(steps: list[Step], depth: int, seed: int) -> None:
    execution = execute(insert_permits(steps), depth, random.Random(seed).choice)
    assert violated(steps, execution) == []


@settings(max_examples=100)
@given(steps(), st.sampled_from([u for u in Unit if u is not Unit.CONTROL]))
def test_no_unit_is_too_fast_or_too_slow(steps: list[Step], slow: Unit) -> None:
    def last(moves: list[tuple[str, Unit]]) -> tuple[str, Unit]:
        return min(moves, key=lambda move: (move[1] is slow, move[0] != "complete"))

    assert violated(steps, execute(insert_permits(steps), 6, last)) == []


@settings(max_examples=100)
@given(steps())
def test_no_permit_is_superfluous(steps: list[Step]) -> None:
    """Without any one of them, some order of events would be wrong: one in which the waiting unit is faster."""
    made = insert_permits(steps)
    for n, instruction in enumerate(made):
        for giver in Unit:
            if not instruction["wait"] >> giver & 1:
                continue
            waits = sum(i["wait"] >> giver & 1 for i in made[:n] if i.opcode.unit is instruction.opcode.unit)
            taker = instruction.opcode.unit
            gives = [m for m, i in enumerate(made) if i.opcode.unit is giver and i["signal"] >> taker & 1]
            m = gives[waits]
            changed = list(made)
            changed[n] = instruction.changed(wait=instruction["wait"] & ~(1 << giver))
            changed[m] = made[m].changed(signal=made[m]["signal"] & ~(1 << taker))

            # All but the giver go first.
            def hurry(moves: list[tuple[str, Unit]], slow: Unit = giver) -> tuple[str, Unit]:
                return min(moves, key=lambda move: move[1] is slow and move[0] == "complete")

            assert violated(steps, execute(changed, len(made), hurry)), (n, giver)


def test_permits_of_a_pipeline() -> None:
    made = insert_permits([
        step(Unit.LOAD, writes=[0]),
        step(Unit.VECTOR, reads=[0], writes=[1]),
        step(Unit.GEMM, reads=[1], writes=[2]),
        step(Unit.VECTOR, reads=[1, 2], writes=[2]),
        step(Unit.LOAD, writes=[0]),
        step(Unit.CONTROL),
        step(Unit.STORE, reads=[2]),
    ])
    assert [str(i).replace(" op=mad", "") for i in made] == [
        "load signal=vector",
        "vector wait=load signal=gemm+load",
        "gemm wait=vector signal=vector",
        "vector wait=gemm",
        "load wait=vector",
        "next",
        "store",
    ]


def test_what_others_know_needs_no_permit() -> None:
    """The store knows from the vector unit that the load is complete, and an instruction what the one before knew."""
    made = insert_permits([
        step(Unit.LOAD, writes=[0]),
        step(Unit.VECTOR, reads=[0], writes=[1]),
        step(Unit.STORE, reads=[0, 1]),
        step(Unit.STORE, reads=[0]),
    ])
    assert [i["wait"] for i in made] == [0, 1 << Unit.LOAD, 1 << Unit.VECTOR, 0]


def test_the_checks_find_missing_permits() -> None:
    plain = [step(Unit.LOAD, writes=[0]), step(Unit.VECTOR, reads=[0])]
    bare = [s.instruction for s in plain]
    hurry = execute(bare, 2, lambda moves: next((m for m in moves if m[0] != "complete"), moves[0]))
    assert violated(plain, hurry) == [(0, 1)]
    with pytest.raises(AssertionError, match="instructions \\[1\\] are not complete"):
        execute([bare[0], bare[1].changed(wait=1 << Unit.LOAD)], 2, lambda moves: moves[0])
    with pytest.raises(AssertionError, match="permits are left at the barrier 2"):
        execute([bare[0].changed(signal=1 << Unit.VECTOR), bare[1]], 2, lambda moves: moves[0])
