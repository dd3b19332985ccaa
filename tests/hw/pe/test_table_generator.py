"""Look-up tables of a step's activations: the sums with all signs, exact and rounded to eight bits."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from einloom.hw.pe.rounded_tables import ENTRY_LIMIT, ROUND_CYCLES, RoundedTables
from einloom.hw.pe.table_generator import TableDelay, TableGenerator, tables_layout
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.bench.part_ports import encode

LIMIT = 128
SIZES = [(1,), (2, 2), (3, 2), (4,)]


def steps(lanes: int, seed: int, count: int = 40) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    ends = [[-LIMIT] * lanes, [LIMIT - 1] * lanes, [0] * lanes, [-LIMIT, *[LIMIT - 1] * (lanes - 1)]]
    small = rng.integers(-3, 4, (count // 2, lanes))
    return [*ends, *rng.integers(-LIMIT, LIMIT, (count, lanes)).tolist(), *small.tolist()]


def packed(step: list[int]) -> int:
    return sum((a & 255) << 8 * n for n, a in enumerate(step))


def split(step: list[int], sizes: tuple[int, ...]) -> list[list[int]]:
    ends = list(itertools.accumulate(sizes))
    return [step[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def entries(lanes: list[int], halved: bool) -> list[int]:
    """entry[i] by the definition in TableGenerator."""
    signed = lanes[:-1] if halved else lanes
    last = lanes[-1] if halved else 0
    return [last + sum(a if i >> k & 1 else -a for k, a in enumerate(signed)) for i in range(1 << len(signed))]


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_tables_have_the_sums_with_all_signs(sizes: tuple[int, ...], halved: bool, zero: bool) -> None:
    delays = (*[n % 2 for n in range(len(sizes))], 2)
    given = steps(sum(sizes), seed=len(sizes))
    part = TableGenerator(sizes, halved, zero, LIMIT, delays)
    run = PartBench(part, held={"activations": [packed(s) for s in given]}, watch=["shared"], cycles=len(given) + 4)
    shared = run.check(lambda _: {}).traces["shared"]
    for n, step in enumerate(given):
        for t, lanes in enumerate(split(step, sizes)):
            table = shared[n + 1 + delays[t]][f"table_{t}"]
            found = [2 * entry + table["parity"] for entry in table["entries"]]
            assert found == entries(lanes, halved), f"table {t} of step {n}, {lanes}"
        if zero:
            assert shared[n + 1 + delays[-1]]["offset"] == -sum(step)


@pytest.mark.parametrize("per_table", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_rounded_entries_are_the_nearest_in_the_smallest_unit(sizes: tuple[int, ...], per_table: bool) -> None:
    delays = (*[n % 2 for n in range(len(sizes))], 1)
    given = steps(sum(sizes), seed=5)
    part = RoundedTables(sizes, True, LIMIT, per_table, delays)
    bench = PartBench(part, held={"activations": [packed(s) for s in given]}, watch=["shared"], cycles=len(given) + 6)
    shared = bench.check(lambda _: {}).traces["shared"]
    latency = 1 + ROUND_CYCLES
    for n, step in enumerate(given):
        bounds = [sum(map(abs, lanes)) for lanes in split(step, sizes)]
        if not per_table:
            bounds = [max(bounds)] * len(bounds)
        exponents = [max(0, bound.bit_length() - 7) for bound in bounds]
        for t, lanes in enumerate(split(step, sizes)):
            table = shared[n + latency + delays[t]][f"table_{t}"]
            rounded = [round(Fraction(entry, 1 << exponents[t])) for entry in entries(lanes, halved=True)]
            assert table["entries"] == [min(max(e, -ENTRY_LIMIT), ENTRY_LIMIT) for e in rounded], f"step {n}: {lanes}"
            if per_table:
                assert table["exponent"] == exponents[t]
        if not per_table:
            assert shared[n + latency + delays[-1]]["exponent"] == exponents[0]


def test_ready_made_tables_wait_for_their_cycle() -> None:
    layout = tables_layout((2, 2), True, True, LIMIT)
    rng = np.random.default_rng(6)
    words = [int.from_bytes(rng.bytes(16), "little") & (1 << layout.size) - 1 for _ in range(30)]
    delays = (0, 2, 3)
    bench = PartBench(TableDelay(layout, delays), held={"activations": words}, watch=["shared"], cycles=33)
    shared = bench.check(lambda _: {}).traces["shared"]
    fields = ("table_0", "table_1", "offset")

    def field(word: int, name: str) -> int:
        return word >> layout[name].offset & (1 << layout[name].width) - 1

    for n, word in enumerate(words):
        for name, delay in zip(fields, delays, strict=True):
            assert encode(layout[name].shape, shared[n + delay][name]) == field(word, name), (n, name)
