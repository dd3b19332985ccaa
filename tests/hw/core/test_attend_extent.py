"""What an instruction of attention covers: its tokens and positions; TileSkip's own test has the tiles."""

import random
from typing import Any

import numpy as np
import pytest

from einloom.hw.core.attend_extent import AttendExtent
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.attention_format import Mask
from einloom.spec.cache_format import CacheFormat
from tests.hw.around import chunk, instruction

LANES = 8
CACHE = CacheFormat(8, 4, 128, token_scales=False)
CASES = 60


def case(rng: random.Random) -> dict[str, Any]:
    return {
        "chunk": chunk(position=rng.randrange(300), tokens=rng.randint(1, 8), place=rng.randrange(1 << 30)),
        "skip": int(rng.random() < 0.1),
        "fields": {
            "first": rng.randrange(9),
            "count": rng.randrange(6),
            "group": rng.choice([0, 1, 1, 4]),
            "query_head": rng.choice([0, 32, 32, 64]),
            "value_head": rng.choice([4, 32, 32, 64]),
            "keys": rng.randrange(1 << 30),
            "values": rng.randrange(1 << 30),
            "window": rng.choice([0, 0, 1, 50]),
            "sinks": rng.choice([0, 5]),
        },
    }


def golden(given: dict[str, Any]) -> dict[str, int] | None:
    """First and last position, tokens and tiles; None where there is nothing to do."""
    fields, now = given["fields"], given["chunk"]
    tokens = min(fields["count"], max(now["tokens"] - fields["first"], 0))
    work = tokens and fields["group"] and fields["query_head"] and fields["value_head"] >= LANES
    if given["skip"] or not work:
        return None
    first = now["position"] + fields["first"]
    last = first + tokens - 1
    mask = Mask(last + 1, causal=True, window=fields["window"], sinks=fields["sinks"])
    tiles = mask.tiles(np.arange(first, last + 1), CACHE.rows)
    starts = {name: fields[name] + now["place"] for name in ("keys", "values")}
    return {"first": first, "last": last, "tokens": tokens, "tiles": len(tiles)} | starts


@pytest.mark.parametrize("seed", [1, 2])
def test_the_extent_is_that_of_the_queries_that_a_chunk_has(seed: int) -> None:
    """Instructions follow each other at once, so nothing of one is left for the next."""
    rng = random.Random(seed)
    cases = [case(rng) for _ in range(CASES)]
    found: list[dict[str, int] | None] = []

    def give(cycle: Cycle) -> None:
        taken = cycle["taken"]
        cycle.set("taken", 0)
        if cycle["valid"] and cycle["ready"] and not taken:
            extent = cycle["extent"]
            names = ("first", "last", "tokens", "tiles", "keys", "values")
            found.append(None if extent["nothing"] else {name: extent[name] for name in names})
            cycle.set("taken", 1)
        elif (taken or not cycle["valid"]) and len(found) < len(cases):
            given = cases[len(found)]
            cycle.set("valid", 1)
            cycle.set("payload", instruction("attend", **given["fields"]))
            cycle.set("chunk", given["chunk"])
            cycle.set("skip", given["skip"])
        elif taken:
            cycle.set("valid", 0)

    bench = PartBench(AttendExtent(LANES, CACHE), partners=[give], until=lambda: len(found) == len(cases))
    bench.check(lambda _: {})
    assert found == [golden(given) for given in cases]
    assert any(found), "no case has work to do"
    assert None in found, "no case is without work"
