"""The visible rows of a tile, as Mask defines them."""

import random

import numpy as np
import pytest

from einloom.hw.pe.attention_column import TileMask
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.attention_format import AttentionFormat, Mask

FORMAT = AttentionFormat(input_bits=8, max_head=32, max_keys=100_000)


def masks(rng: random.Random, rows: int) -> tuple[Mask, int, int]:
    """(a mask, a query's position, the first key of a tile)"""
    keys = rng.choice([1, rows, rows + 1, rng.randint(1, 100_000)])
    position = rng.choice([0, keys - 1, rng.randrange(keys), min(keys + 5, 99_999)])
    window, sinks = rng.choice([(0, 0), (1, 0), (rng.randint(1, keys), rng.randint(0, keys)), (rows, 2)])
    near = rng.choice([position, 0, max(position - window, 0)])
    return Mask(keys, rng.random() < 0.6, window, sinks), position, near // rows * rows


@pytest.mark.parametrize("rows", [1, 4, 16])
def test_rows_are_visible_as_the_mask_says(rows: int) -> None:
    rng = random.Random(rows)
    held: dict[str, list] = {"query": [], "tile": [], "control": []}
    expected: list[int] = []
    for _ in range(150):
        mask, position, base = masks(rng, rows)
        sink_rows = min(max(mask.sinks - base, 0), rows)
        tile = {
            "base": base,
            "keys": mask.keys,
            "causal": int(mask.causal),
            "window": mask.window,
            "sink_rows": sink_rows,
        }
        # The two words of the position, then the bounds and the mask in the cycles behind.
        held["query"] += [position & 0xFFFF, position >> 16, 0, 0]
        held["control"] += [{"position_low": 1}, {"position_high": 1}, {"bounds": 1}, {"mask": 1}]
        held["tile"] += [tile] * 4
        seen = mask.visible(np.array([position]))[:, 0]
        rows_seen = [int(base + r < mask.keys and seen[base + r]) for r in range(rows)]
        expected.append(sum(bit << r for r, bit in enumerate(rows_seen)))
    values: list[int | None] = [None] * (4 * len(expected) + 1)
    values[4::4] = expected
    PartBench(TileMask(FORMAT, rows), held=held, tail=0).check(lambda _: {"visible": values})
