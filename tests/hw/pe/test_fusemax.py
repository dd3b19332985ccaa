"""A FuseMax PE step by step: a score, its exponential, and products with values."""

import numpy as np
import pytest

from einloom.hw.pe.fusemax import PE_LATENCY, FuseMaxPE, Step
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.golden.fusemax import exp2, scores
from einloom.spec.attention_format import EXP2_STEPS, MASKED, AttentionFormat

FORMATS = {"int8": AttentionFormat(8, 64, 1000), "int16": AttentionFormat(16, 64, 1000)}
CASES = 30


def integer(value: int, bits: int) -> int:
    return int(value) & (1 << bits) - 1


@pytest.mark.parametrize("name", FORMATS)
def test_products_are_those_of_the_definition(name: str) -> None:
    """Keys one after the other; each has its score, a maximum at or above it, and four values."""
    format, rng = FORMATS[name], np.random.default_rng(len(name))
    limit = 1 << format.input_bits - 1
    part = FuseMaxPE(format)
    held: dict[str, list] = {name: [] for name in ("query", "row", "visible", "maximum", "control")}
    score_at: dict[int, int] = {}
    product_at: dict[int, int] = {}
    late: dict[int, dict[str, int]] = {}

    def cycle(query: int = 0, row: int = 0, maximum: int = 0, visible: int = 1, **control: object) -> int:
        n = len(held["control"])
        for key, value in (("query", query), ("row", row), ("maximum", maximum), ("visible", visible)):
            held[key].append(int(value))
        held["control"].append({**control})
        return n

    for case in range(CASES):
        size = int(rng.integers(1, 9))
        query = rng.integers(-(1 << 15), 1 << 15, size) >> int(rng.integers(0, 12))
        key, scale = (
            rng.integers(-limit, limit, size),
            int(rng.integers(-(1 << 15), 1 << 15) >> int(rng.integers(0, 14))),
        )
        if case < 4:  # beyond what a score can be
            query, key = np.full(8, (32767, -32768)[case % 2]), np.full(8, limit - 1)
            size, scale = 8, (32767, -32768)[case // 2]
        visible = int(case % 5 != 4)
        for e in range(size):
            n = cycle(query[e], key[e], step=Step.SCORE, visible=visible)
            late[n + 2] = {"accumulate": 1, "first": int(e == 0)}
        for _ in range(PE_LATENCY - 1):
            cycle(visible=visible)
        n = cycle(scale, step=Step.SCALE, visible=visible)
        late[n + 2] = {"scale": 1}
        score = int(scores(format, query[None], np.array([scale]), key[None])[0, 0])
        for _ in range(PE_LATENCY - 1):
            cycle(visible=visible)
        score_at[n + PE_LATENCY] = score if visible else MASKED
        top = min(score + int(rng.integers(0, 1 << int(rng.integers(1, 20)))), (1 << 30) - 1)
        cycle(maximum=top, difference=1, visible=visible)
        for step in range(EXP2_STEPS):
            n = cycle(step=Step.EXP, visible=visible)
            late[n + 2] = {"exp": 1, "term": step}
            for _ in range(PE_LATENCY - 1):
                cycle(visible=visible)
        cycle(load=1, visible=visible)
        probability = int(exp2(np.array([score - top]))[0]) if visible else 0
        for value in rng.integers(-limit, limit, 4):
            n = cycle(row=value, step=Step.VALUE, visible=visible)
            product_at[n + 2] = probability * int(value)
    cycle()
    cycle()
    for n, control in late.items():
        held["control"][n] |= control
    cycles = range(len(held["control"]))
    expected = {"score": [score_at.get(n) for n in cycles], "product": [product_at.get(n) for n in cycles]}
    PartBench(part, held=held, tail=0).check(lambda _: expected)
