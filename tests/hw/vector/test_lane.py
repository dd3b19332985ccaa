"""A lane's operations against golden, with each control in its own cycle."""

import numpy as np

from einloom.hw.vector.lane import ADD, LATENCY, MULTIPLY, NEGATE, Addend, Factor, Left, Right, VectorLane
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.golden import vector as golden
from einloom.spec.isa import REDUCE_PARTIALS, REDUCTIONS, VectorOp
from tests.vector_operands import random_pairs

COUNT = 1500
PART = VectorLane()


def test_elementwise_operations_are_golden() -> None:
    rng = np.random.default_rng(8)
    a, b = random_pairs(rng, COUNT)
    c, immediate = random_pairs(rng, COUNT)
    ops = rng.choice([op for op in VectorOp if op not in (*REDUCTIONS, VectorOp.EXCHANGE)], COUNT)
    negate, factor, addend = (
        rng.integers(2, size=COUNT),
        rng.choice(list(Factor), COUNT),
        rng.choice(list(Addend), COUNT),
    )
    expected, control = [], [{} for _ in range(COUNT + LATENCY + 1)]
    for n in range(COUNT):
        one = slice(n, n + 1)
        # What is no product takes a for a missing operand; a product takes 1.
        if ops[n] != VectorOp.MAD and factor[n] is Factor.ONE:
            factor[n] = Factor.A
        x = {Factor.B: b[one], Factor.IMMEDIATE: immediate[one], Factor.A: a[one], Factor.ONE: None}[factor[n]]
        y = {Addend.C: c[one], Addend.IMMEDIATE: immediate[one], Addend.MINUS_ZERO: None}[addend[n]]
        if ops[n] == VectorOp.MAD:
            found = golden.elementwise(VectorOp.MAD, a[one], x, y, negate=bool(negate[n]))
        else:
            found = golden.elementwise(VectorOp(ops[n]), a[one], x, None)
        expected.append(int(found[0]))
        control[n] |= {"factor": factor[n], "addend": addend[n]}
        control[n + MULTIPLY] |= {"op": int(ops[n])}
        control[n + NEGATE] |= {"negate": int(negate[n])}
        control[n + ADD] |= {"left": Left.PRODUCT, "right": Right.ADDEND}
        control[n + LATENCY] |= {"integer": int(ops[n] != VectorOp.MAD)}
    held = {name: values.tolist() for name, values in {"a_data": a, "b_data": b, "c_data": c}.items()}
    held |= {"immediate": immediate.tolist(), "control": control}
    PartBench(PART, held=held, tail=0).check(lambda _: {"result": [None] * LATENCY + expected})


def test_a_lane_adds_the_sums_of_two_others() -> None:
    low, high = (golden.bits(np.array(n, np.float32)).tolist() for n in ([1.5, 2.0, -8.0], [0.25, 7.0, 8.0]))
    total = golden.bits(np.array([1.75, 9.0, 0.0], np.float32)).tolist()
    held = {
        "low": [{"sum": n} for n in low],
        "high": [{"sum": n} for n in high],
        "control": {"left": Left.LOW, "right": Right.HIGH},
    }
    adder = LATENCY - ADD
    PartBench(PART, held=held, tail=0).check(lambda _: {"result": [None] * adder + total})


def test_a_lane_adds_what_it_has_added_before() -> None:
    """Words go through the adder one by one; then one sum is taken of each place that a reduction may take."""
    adder = LATENCY - ADD
    numbers = [float(1 << n) for n in range(adder + REDUCE_PARTIALS)]
    words = golden.bits(np.array(numbers, np.float32)).tolist()
    plain = {"left": Left.PRODUCT, "right": Right.ZERO, "factor": Factor.ONE}
    ages = {Left.AGO_1: 1, Left.AGO_2: 2, Left.AGO_4: 4}
    for left, right in [(left, Right.LAST) for left in ages] + [(Left.MINUS_ZERO, Right.LOOP)]:
        n = len(words) + ADD  # the cycle in which they are taken
        control = [plain] * n + [{"left": left, "right": right}] + [plain]
        last = n - ADD - adder  # the word whose sum is there in that cycle
        total = numbers[last] + numbers[last - ages[left]] if left in ages else numbers[last + adder - REDUCE_PARTIALS]
        expected = [None] * (n + adder) + golden.bits(np.array([total], np.float32)).tolist()
        PartBench(PART, held={"a_data": words, "control": control}, tail=0).check(
            lambda _, expected=expected: {"result": expected}
        )
