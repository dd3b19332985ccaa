"""Which tiles a job visits, as Mask lists them."""

import random

import pytest

from einloom.hw.array.tile_walk import TileWalk
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.attention_format import AttentionFormat, Mask
from tests.hw.around import now_and_then

FORMAT = AttentionFormat(input_bits=8, max_head=32, max_keys=500)
SHAPES = ((4, 1), (8, 1), (2, 2))
PARTS = {shape: TileWalk(FORMAT, *shape) for shape in SHAPES}


def jobs(seed: int, rows: int, spans: int) -> list[tuple[dict[str, int], Mask]]:
    rng, found = random.Random(seed), []
    long = Mask(60, causal=True, window=1, sinks=11)  # several tiles of sinks, a gap, and one of the window
    ends = {"first_position": 59, "last_position": 59}
    fields = {"queries": 99, "query_head": 1, "value_head": 1, "keys": 60, "window": 1, "causal": 1, "sinks": 11}
    found.append((fields | ends, long))
    for n in range(30):
        keys = rng.choice([1, rows, rows + 1, rng.randint(1, 40)])
        window = rng.choice([0, 0, 1, rng.randint(1, 30)])
        sinks = rng.choice([0, rng.randint(0, 10)]) if window else 0
        causal = rng.random() < 0.5
        first = rng.randrange(keys)
        fields = {"queries": n, "query_head": 1 + n % 32, "value_head": 1 + n % 31, "keys": keys, "window": window}
        fields |= {
            "first_position": first,
            "last_position": min(first + 1, keys),
            "causal": int(causal),
            "sinks": sinks,
        }
        if spans > 1:
            fields["split"] = rng.getrandbits(1)
        found.append((fields, Mask(keys, causal, window, sinks)))
    return found


@pytest.mark.parametrize("chance", [1.0, 0.4], ids=["full-rate", "paused"])
@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_are_those_of_the_mask(shape: tuple[int, int], chance: float) -> None:
    rows, spans = shape
    given = jobs(sum(shape), rows, spans)
    expected = []
    for fields, mask in given:
        wide = rows * (spans if fields.get("split") else 1)
        visited = mask.tiles([fields["first_position"], fields["last_position"]], wide)
        for n, tile in enumerate(visited):
            bases = [tile * wide + s * rows * fields.get("split", 0) for s in range(spans)]
            sinks = [min(max(mask.sinks - base, 0), rows) for base in bases]
            expected.append((fields["queries"], int(n == 0), int(n + 1 == len(visited)), bases, sinks))
    found: list[tuple] = []
    steps = now_and_then(chance)

    def walk(cycle: Cycle) -> None:
        front = cycle["front"]
        if cycle["advance"] and front["valid"]:
            tiles = cycle["tiles"]
            bases, sinks = ([tile[name] for tile in tiles] for name in ("base", "sink_rows"))
            found.append((front["queries"], front["fresh"], front["last"], bases, sinks))
        cycle.set("advance", steps(cycle.number))

    bench = PartBench(
        PARTS[shape],
        {"job": [fields for fields, _ in given]},
        pauses={"job": 1 - chance},
        partners=[walk],
        until=lambda: len(found) >= len(expected),
    )
    bench.check(lambda _: {})
    for n, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one == other, f"tile {n}"
