"""A column's exponentials in turn, tile after tile: probabilities, and the correction of what was summed before."""

import numpy as np
import pytest

from einloom.hw.pe.serial_exponential import SCORE_CYCLES, SerialExponential, serial_cycles
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.golden.fusemax import exp2, scores
from einloom.spec.attention_format import MASKED, AttentionFormat

FORMATS = {"int8": AttentionFormat(8, 64, 1000), "int16": AttentionFormat(16, 64, 1000)}
TILES = 12


@pytest.mark.parametrize("rows", [2, 5, 16])
@pytest.mark.parametrize("name", FORMATS)
def test_each_key_gets_the_power_of_two_of_its_score_less_the_maximum_so_far(name: str, rows: int) -> None:
    """Tiles follow each other as soon as they may. In some no key is visible, and some begin another query."""
    format, rng = FORMATS[name], np.random.default_rng(rows)
    limit = 1 << format.input_bits - 1
    held: dict[str, list] = {name: [] for name in ("dots", "visible", "scale", "control")}
    expected: dict[str, dict[int, int]] = {"negated": {}, "correction": {}, "write": {}, "fresh": {}}
    total, maximum = serial_cycles(rows), 0
    for tile in range(TILES):
        begin = len(held["dots"])
        query = rng.integers(-(1 << 15), 1 << 15, 32) >> int(rng.integers(0, 12))
        keys = rng.integers(-limit, limit, (rows, 32))
        scale = int(rng.integers(-(1 << 15), 1 << 15)) >> int(rng.integers(0, 15))
        visible = np.ones(rows, bool) if tile % 3 == 0 else rng.random(rows) < 0.5
        if tile in (4, 5):
            visible[:] = False
        fresh = tile in (0, 4, 7)
        score = np.where(visible, scores(format, query[None], np.array([scale]), keys)[:, 0], MASKED)
        before = MASKED if fresh else maximum
        maximum = max(before, int(score.max()))
        powers = np.where(visible, exp2(score - maximum), 0)
        dots = sum((int(keys[n] @ query) & (1 << format.qk_bits) - 1) << n * format.qk_bits for n in range(rows))
        seen = sum(int(bit) << n for n, bit in enumerate(visible))
        for cycle in range(total + 1):
            held["dots"].append(dots if 0 < cycle <= rows else 0)
            held["visible"].append(seen if 0 <= cycle - SCORE_CYCLES < rows else 0)
            held["scale"].append(scale if cycle == 0 else 0)
            held["control"].append({"start": 1, "scale": 1, "fresh": int(fresh)} if cycle == 0 else {})
        for n in range(rows):
            at = begin + total - rows + n
            expected["negated"][at], expected["write"][at] = -int(powers[n]), 1 << n
        expected["fresh"][begin + 1] = expected["fresh"][begin + total] = int(fresh)
        expected["correction"][begin + total] = 0 if fresh else int(exp2(np.array([before - maximum]))[0])
    cycles = range(len(held["dots"]))
    traces = {name: [found.get(n) for n in cycles] for name, found in expected.items()}
    traces["write"] = [write or 0 for write in traces["write"]]
    PartBench(SerialExponential(format, rows), held=held, tail=0).check(lambda _: traces)
