"""`attend` against the golden core: queries in, tiles of the cache in, words of integers out."""

import random
from functools import cache

import numpy as np
import pytest

from einloom.hw.core.attention_unit import AttentionUnit
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import Memory, chunk, instruction, reader
from tests.hw.core.attending import Attending
from tests.hw.core.small import CONFIGS, Writes, execute, integers, packed, small

HEAD = 32  # the longest
SCALE = 0x0180
NOW = chunk(position=9, tokens=2)
BEATS = 120
FULL_RATE = 460  # cycles without a pause, up to the second block; from there on each stream pauses in a fifth of them


@cache
def part(name: str) -> Attending:
    spec = small(name).spec
    return Attending(AttentionUnit(spec.attention, spec.lanes, spec.cache, spec.query_words, parity=False))


def blocks(columns: int, keys: int, values: int) -> list[dict[str, int]]:
    """One head of both tokens, one head of the second, as many heads as there are columns, some of nothing, and some
    that see a window of positions; configs take turns, since what a block means is the same in all."""
    common = {"keys": keys, "values": values, "queries": 0, "d_outer": 8}
    short, long, mixed = ({"query_head": q, "value_head": v} for q, v in ((16, 16), (HEAD, 8), (8, HEAD)))
    return [
        {**common, **short, "first": 0, "count": 2, "group": 1, "d_base": 0, "d_token": 32, "signal": 1 << 3},
        {**common, **short, "first": 0, "count": 0, "group": 1, "d_base": 0, "d_token": 32, "signal": 1 << 2},
        {**common, **long, "first": 1, "count": 5, "group": columns, "d_base": 60, "d_token": 100, "signal": 1 << 1},
        {**common, **long, "first": 0, "count": 2, "group": 0, "d_base": 0, "d_token": 32},
        {**common, **mixed, "first": 0, "count": 1, "group": 1, "d_base": 300, "d_token": 0, "signal": 1 << 6},
        {**common, **mixed, "first": 1, "count": 1, "group": 1, "d_base": 340, "d_token": 0, "window": 1},
        {**common, **long, "first": 1, "count": 1, "group": 1, "d_base": 380, "d_token": 0, "window": 2, "sinks": 3},
        {**common, **short, "first": 0, "count": 2, "group": 1, "d_base": 400, "d_token": 4, "window": 5},
        {
            **common,
            **short,
            "first": 0,
            "count": 1,
            "group": 1,
            "d_base": 420,
            "d_token": 4,
            "window": 9999,
            "sinks": 9,
        },
    ]


def pauses(*names: str) -> dict[str, list[int]]:
    """None at first, then many, of each stream its own."""
    return {name: [0] * FULL_RATE + random.Random(name).choices((0, 1), (4, 1), k=1999) for name in names}


@pytest.mark.parametrize("name", CONFIGS)
def test_outputs_become_the_words_that_the_golden_core_has(name: str) -> None:
    core, memory = small(name), Memory(4)
    spec, golden = core.spec, core.golden(memory, BEATS)
    columns, lanes, beat = spec.attention.columns, spec.lanes, spec.beat_bits // 8
    rng = np.random.default_rng(5)
    queries = golden.memories.queries
    queries[:] = rng.integers(-3000, 3000, queries.shape)
    flat = queries.reshape(columns, -1)
    elements = flat.copy()
    turn = list(CONFIGS).index(name)
    fields = blocks(columns, keys=3, values=60)[turn :: len(CONFIGS)]
    words = []
    for block in fields:
        tokens = max(0, min(block["count"], NOW["tokens"] - block["first"]))
        if not tokens * block["group"]:
            continue
        # All queries of a token are at its position; it stands behind their scale, as that does behind their elements.
        size = block["query_head"]
        flat[:] = elements
        flat[:, size] = SCALE
        for column in range(columns):
            token = block["first"] + column // block["group"]
            flat[column, size + 1 : size + 3] = NOW["position"] + min(token, NOW["tokens"] - 1), 0
        execute(golden, NOW, "attend", **block)
        places = [
            block["d_base"] + (block["first"] + t) * block["d_token"] + h * block["d_outer"] + n
            for n in range(block["value_head"] // lanes)
            for t in range(tokens)
            for h in range(block["group"])
        ]
        words += [integers(golden, place, last=n == len(places) - 1) for n, place in enumerate(places)]
    bench = PartBench(
        part(name),
        held={"chunk": NOW},
        pauses=pauses("integers", "beats", "request"),
        partners=[reader(memory, beat), Around(fields, elements, lanes), Writes(turn)],
    )
    # Requests are TileReader's, whose own test has their order.
    bench.check(lambda _: {"integers": words, "request": None})
    around = bench.partners[1]
    assert around.signals == [block.get("signal", 0) for block in fields]
    assert set(around.requests) == {100 + n for n, block in enumerate(fields) if block["count"] * block["group"]}


class Around:
    """Writes the queries of one block after the other when the unit is idle, then gives its instruction."""

    def __init__(self, fields: list[dict[str, int]], flat: np.ndarray, lanes: int) -> None:
        self.signals: list[int] = []
        self.requests: list[int] = []
        self._fields, self._flat, self._lanes = fields, flat.copy(), lanes
        self._given = 0
        self._writes: list[dict[str, int]] = []
        self._staged = False

    def __call__(self, cycle: Cycle) -> None:
        if cycle["done"]:
            self.signals.append(cycle["signal"])
        if cycle.taken("request") is not None:
            self.requests.append(cycle["request_index"])
        if len(self.signals) == self._given < len(self._fields) and not self._staged:
            self._stage()
        elif self._staged and not self._writes:
            self._staged = False
            cycle.set("index", 100 + self._given)
            cycle.put("instruction", instruction("attend", **self._fields[self._given]))
            self._given += 1
        cycle.set("write_enable", int(bool(self._writes)))
        for name, value in (self._writes.pop(0) if self._writes else {}).items():
            cycle.set(name, value)

    def _stage(self) -> None:
        """A word of a column in each cycle; the word behind a query's elements is its scale, and gets the position."""
        block = self._fields[self._given]
        for column, elements in enumerate(self._flat):
            group = max(block["group"], 1)
            token = min(block["first"] + column // group, NOW["tokens"] - 1)
            behind = block["query_head"] // self._lanes
            for n in range(behind + 1):
                values = elements[n * self._lanes :][: self._lanes].copy()
                scale = n == behind
                if scale:
                    values[:3] = SCALE, -1, -1  # the unit puts the position there
                self._writes.append({
                    "write_column": column,
                    "write_address": n,
                    "write_data": packed(values, 16),
                    "write_scale": int(scale),
                    "write_token": token,
                })
        self._staged = True
