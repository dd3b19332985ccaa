"""A row of PEs and a grid of rows: operands down the columns, activations along the rows, results up to row 0."""

import random

import pytest

from einloom.hw.array.grid import PeRow, pe_grid
from einloom.hw.pe.int_mac import IntMacSpec
from einloom.sim.bench.part_bench import PartBench

LANES, COLUMNS, STEPS = 2, 3, 7
SPEC = IntMacSpec(lanes=LANES, max_inputs=64)


def packed(numbers: list[int], bits: int) -> int:
    return sum((n & (1 << bits) - 1) << bits * i for i, n in enumerate(numbers))


@pytest.mark.parametrize("rows", [1, 3])
def test_a_tile_of_sums_leaves_row_by_row(rows: int) -> None:
    """Operands are a cycle behind the activations, which the row registers, and a sum a cycle behind both."""
    rng = random.Random(rows)
    a = [[[rng.randint(-128, 127) for _ in range(LANES)] for _ in range(rows)] for _ in range(STEPS)]
    w = [[[rng.randint(-128, 127) for _ in range(LANES)] for _ in range(COLUMNS)] for _ in range(STEPS)]
    control: list[dict[str, int]] = [{} for _ in range(STEPS + 12)]
    for n in range(STEPS):
        control[n + 2] |= {"accumulate": 1, "first": int(n == 0)}
    load = STEPS + 2
    control[load] |= {"load": 1}
    for row in range(1, rows + 1):
        control[load + 2 * row] |= {"shift": 1}  # every other cycle
    held = {
        "activations": [packed([n for row in step for n in row], 8) for step in a],
        "operand": [0, *[packed([n for column in step for n in column], 8) for step in w]],
        "control": control,
        "drain_in": packed([5] * COLUMNS, SPEC.sum_bits),
    }
    sums = [
        [sum(x * y for s in range(STEPS) for x, y in zip(a[s][r], w[s][c], strict=True)) for c in range(COLUMNS)]
        for r in range(rows)
    ]
    words = [packed(row, SPEC.sum_bits) for row in sums] + [packed([5] * COLUMNS, SPEC.sum_bits)]
    expected = [None] * (load + 1) + [words[n // 2] if n >= 0 else None for n in range(-1, 2 * rows + 2)][1:]
    expected = expected[: load + 1 + 2 * rows]
    part = PeRow(SPEC, COLUMNS) if rows == 1 else pe_grid(SPEC, rows, COLUMNS)
    PartBench(part, held=held, tail=0).check(lambda _: {"drain_out": expected})
