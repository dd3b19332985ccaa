"""Integers, comparisons and conversions of a lane, against golden."""

import numpy as np
import pytest

from einloom.hw.vector.integer_unit import COMPARED, LATENCY, IntegerUnit
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.golden import vector as golden
from einloom.spec.isa import FLOAT_OPS, REDUCTIONS, VectorOp
from tests.hw.around import check_pipeline
from tests.vector_operands import corner_pairs, random_pairs

PART = IntegerUnit()
OPS = [op for op in VectorOp if op not in (*REDUCTIONS, *FLOAT_OPS)]
NEVER = {"enable": 0, "first": 0, "fold": 0}


def test_operations_follow_each_other_in_any_order() -> None:
    rng = np.random.default_rng(1)
    pairs = [corner_pairs(), random_pairs(rng, 1500)]
    a, b = (np.concatenate([p[n] for p in pairs]) for n in (0, 1))
    ops = rng.choice(OPS, len(a))
    expected = np.zeros_like(a)
    for op in OPS:
        chosen = ops == op
        expected[chosen] = golden.elementwise(op, a[chosen], b[chosen], None)
    check_pipeline(PART, "result", LATENCY, expected.tolist(), value=a.tolist(), other=b.tolist(), op=ops.tolist())


@pytest.mark.parametrize("lengths", [(1, 2, 7), (30,)])
def test_the_largest_magnitude_since_the_first_word(lengths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(lengths))
    a, _ = random_pairs(rng, sum(lengths))
    control, peaks, start = [], [], 0
    for length in lengths:
        row = a[start : start + length]
        peaks += [int(golden.reduce(VectorOp.MAXABS, row[: n + 1, None], None)) for n in range(length)]
        control += [{"enable": 1, "first": int(n == 0), "fold": 0} for n in range(length)]
        start += length
    held = {"value": a.tolist(), "op": VectorOp.MAXABS, "peak_control": [NEVER, *control]}
    expected = {"peak": [None] * COMPARED + peaks, "result": [None] * LATENCY + peaks}
    PartBench(PART, held=held, tail=0).check(lambda _: expected)


def test_a_fold_takes_the_larger_of_two_lanes() -> None:
    low, high = [5, 9, 0x7FC00000, 0x7F800000], [7, 2, 0x7F800000, 0x7FC00000]
    held = {"peak_control": {"enable": 1, "first": 0, "fold": 1}, "low": low, "high": high, "value": 0x7F7FFFFF}
    expected = {"peak": [0, *map(max, low, high)]}
    PartBench(PART, held=held, tail=0).check(lambda _: expected)
