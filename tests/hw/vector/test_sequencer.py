"""The slots of vector instructions: words that are read, and where results go."""

from collections.abc import Sequence

import pytest

from einloom.hw.vector.sequencer import VectorSequencer
from einloom.hw.vector.slot import INSTRUCTION, READS
from einloom.hw.vector.vector_unit import VectorUnit
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.sim.bench.vector import Step
from einloom.spec.instruction import Instruction
from einloom.spec.isa import Operand, Space, VectorOp
from tests.hw.around import following, now_and_then
from tests.vector_schedule import Schedule

LANES = 4
PARTS = {overlap: VectorSequencer(LANES, overlap, exchange=True) for overlap in (False, True)}
STRIDES = {
    **{"a_base": 100, "a_token": 40, "a_outer": 9, "a_inner": 1},
    **{"b_base": 65530, "b_token": 3, "b_outer": 7, "b_inner": 1},
    **{"c_base": 7, "c_token": 0, "c_outer": 255, "c_inner": 0},
    **{"d_base": 300, "d_token": 30, "d_outer": 5},
}


def step(op: VectorOp, tokens: int, outer: int, inner: int, **fields: int) -> Step:
    return Step(Instruction.make("vector", op=op, outer=outer, inner=inner, **STRIDES | fields), tokens)


VECTORS = {"x": Operand.VECTOR, "y": Operand.VECTOR}
STEPS = [
    step(VectorOp.MAD, 2, 3, 4, signal=2, **VECTORS),
    step(VectorOp.EXCHANGE, 2, 1, 3, immediate=2, **VECTORS),
    step(VectorOp.MAD, 1, 1, 1, signal=4, x=Operand.IMMEDIATE, immediate=5),
    step(VectorOp.TOINT, 3, 1, 2, space=Space.ACTIVATIONS, **VECTORS),
    step(VectorOp.MAX, 4, 2, 1, space=Space.QUERIES, block=1, **VECTORS),
    step(VectorOp.SUM, 2, 2, 9, signal=8, **VECTORS),
    step(VectorOp.MAXABS, 2, 1, 3, x=Operand.VECTOR),
    step(VectorOp.MAD, 0, 2, 2, signal=16),
    step(VectorOp.SUM, 1, 1, 0, signal=32),
    step(VectorOp.IADD, 1, 0, 5),
    step(VectorOp.SUM, 1, 1, 1),
]


def expected(given: Sequence[Step]) -> list[dict]:
    """Each slot: the words that it reads, and what it writes, by the address functions of the golden model."""
    unit = VectorUnit(LANES, read_latency=1, write_latency=1, kv_bits=8, overlap=True)
    unit._MustUse__used = True  # asked for its lanes
    slots = []
    for one in given:
        i = one.instruction
        plan = list(Schedule(unit).slots(one))
        words = {name: one.addresses(name).ravel().tolist() for name in one.operands()}
        to = one.addresses("d").ravel().tolist()
        read = wrote = 0
        for n, (reads, write) in enumerate(plan):
            slot: dict = {
                "last": int(n + 1 == len(plan)),
                "signal": i["signal"],
                "reads": {},
                "write": write is not None,
            }
            if reads:
                slot["reads"] = {name: addresses[read] for name, addresses in words.items()}
                read += 1
            if write is not None:
                slot["to"] = (i["space"], to[wrote])
                wrote += 1
            slots.append(slot)
        assert (read, wrote) == (len(words["a"]), len(to) if one.tokens * i["outer"] * i["inner"] else 0)
    return slots


@pytest.mark.parametrize("chance", [1.0, 0.5], ids=["full-rate", "paused"])
@pytest.mark.parametrize("overlap", PARTS)
def test_slots_are_those_of_the_instructions_in_their_order(overlap: bool, chance: float) -> None:
    found: list[dict] = []
    cycles: list[int] = []
    due: list[int] = []
    takes = now_and_then(chance)

    def issue(cycle: Cycle) -> None:
        """Takes slots now and then; results come three cycles later."""
        candidate = cycle["candidate"]
        if candidate["valid"] and cycle["taken"]:
            slot = candidate["slot"]
            reads = {p: candidate[f"{p}_address"] for p in READS if candidate[f"{p}_read"]}
            entry = {"last": slot["last"], "signal": slot["signal"], "reads": reads, "write": bool(slot["write"])}
            if slot["write"]:
                entry["to"] = (slot["destination"]["space"], slot["destination"]["address"])
            found.append(entry)
            cycles.append(cycle.number)
            if slot["last"]:
                due.append(cycle.number + 3)
        done = bool(due) and cycle.number >= due[0]
        if done:
            due.pop(0)
        cycle.set("done", int(done))
        cycle.set("taken", takes(cycle.number))

    def encoded(one: Step) -> int:
        return int.from_bytes(one.instruction.encode(), "little") & (1 << INSTRUCTION.size) - 1

    bench = PartBench(
        PARTS[overlap],
        {"instruction": [encoded(one) for one in STEPS]},
        held={"tokens": STEPS[0].tokens, "taken": 1},
        partners=[issue, following("instruction", tokens=[one.tokens for one in STEPS])],
        until=lambda: len(found) >= len(expected(STEPS)),
    )
    run = bench.run({}, watch=["idle"])
    for n, (one, other) in enumerate(zip(found, expected(STEPS), strict=True)):
        assert one == other, f"slot {n}"
    assert run.traces["idle"][-1] == 1
    long = len(expected(STEPS[:1]))
    if chance == 1.0:
        assert cycles[:long] == list(range(cycles[0], cycles[0] + long))
