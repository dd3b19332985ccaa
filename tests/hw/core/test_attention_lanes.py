"""`attend` on lanes against the golden core: each lane has its own queries, its own channels, and its own outputs."""

import numpy as np
import pytest

from einloom.hw.core.attention_lanes import AttentionLanes
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import Memory, chunk, instruction, reader
from tests.hw.core.attending import Attending
from tests.hw.core.small import Writes, execute, integers, packed, small

HEAD = 16
NOW = chunk(position=9, tokens=2)
COMMON = {"keys": 3, "values": 20, "queries": 0, "query_head": HEAD, "value_head": HEAD, "d_outer": 2, "d_token": 16}
BLOCKS = [
    {**COMMON, "first": 0, "count": 2, "group": 1, "d_base": 0, "other_lanes": 1, "signal": 1 << 3},
    {**COMMON, "first": 0, "count": 2, "group": 1, "d_base": 64, "other_lanes": 0, "signal": 1 << 2},
    {**COMMON, "first": 0, "count": 0, "group": 1, "d_base": 0, "other_lanes": 1, "signal": 1 << 1},
    {**COMMON, "first": 1, "count": 1, "group": 2, "d_base": 128, "other_lanes": 63, "signal": 1 << 6},
]
LAST_WORDS = [2, 3, 3, 5]
"""Last words of lanes, up to each block."""
CHANNEL_BEATS = 64


SPEC = small("lanes").spec
PARTS = {
    "lanes": Attending(
        AttentionLanes(
            SPEC.attention,
            SPEC.lanes,
            SPEC.cache,
            SPEC.query_words,
            parity=False,
            count=SPEC.attention_lanes,
            masters=SPEC.cache_masters,
        )
    )
}


class Around:
    """Writes random queries into the buffers of all lanes, then gives one instruction after the other."""

    def __init__(self, queries: np.ndarray, words: int, memory: Writes) -> None:
        self.memory = memory
        self.signals: list[int] = []
        self.found: dict[int, int] = {}
        self.requested: dict[int, set[int]] = {}
        columns, _, self._lanes = queries.shape
        scale = HEAD // self._lanes
        self._writes = [
            {
                "write_column": column,
                "write_address": lane * words + n,
                "write_data": packed(queries[column, lane * words + n], 16),
                "write_scale": int(n == scale),
                "write_token": min(column, NOW["tokens"] - 1),
            }
            for column in range(columns)
            for lane in range(2)
            for n in range(scale + 1)
        ]
        self._given = 0

    def __call__(self, cycle: Cycle) -> None:
        if cycle["done"]:
            written, block = self.memory.written, len(self.signals)
            assert written >= LAST_WORDS[block], f"block {block} is done with {written} last words written"
            self.signals.append(cycle["signal"])
        word = cycle.taken("integers")
        if word is not None:
            assert word["address"] not in self.found, "a word is written twice"
            self.found[word["address"]] = word["integers"]
        for n in range(4):
            if cycle.taken(f"requests_{n}") is not None:
                self.requested.setdefault(n, set()).add(cycle[f"request_indices_{n}"])
        if not self._writes and self._given == 0:
            cycle.put("instruction", *(instruction("attend", **block) for block in BLOCKS))
        if not self._writes and (self._given == 0 or cycle.taken("instruction") is not None):
            cycle.set("index", 100 + self._given)
            self._given += 1
        cycle.set("write_enable", int(bool(self._writes)))
        for name, value in (self._writes.pop(0) if self._writes else {}).items():
            cycle.set(name, value)


@pytest.mark.parametrize("delay", [0, 30])
def test_each_lane_attends_to_its_own_channels(delay: int) -> None:
    spec, golden = SPEC, small("lanes").golden(beats=CHANNEL_BEATS)
    beat, words = spec.beat_bits // 8, spec.query_words
    channels = [Memory() for _ in golden.weights]
    for memory, window in zip(channels, golden.weights, strict=True):
        memory.put(0, window.size, int.from_bytes(window.tobytes(), "little"))
    queries = golden.memories.queries
    rng = np.random.default_rng(7)
    queries[:] = rng.integers(-3000, 3000, queries.shape)
    scale = HEAD // spec.lanes
    for column in range(len(queries)):
        for lane in range(2):
            queries[column, lane * words + scale, :3] = 0x180, NOW["position"] + min(column, NOW["tokens"] - 1), 0
    around = Around(queries.copy(), words, Writes(delay))
    streams = [f"{name}_{n}" for name in ("requests", "beats") for n in range(4)]
    bench = PartBench(
        PARTS["lanes"],
        held={"chunk": NOW},
        pauses={name: 0.1 * n for n, name in enumerate(streams)} | {"integers": 0.3},
        partners=[
            *(reader(m, beat, f"requests_{n}", f"beats_{n}") for n, m in enumerate(channels)),
            around.memory,
            around,
        ],
        until=lambda: len(around.signals) == len(BLOCKS),
    )
    bench.check(lambda _: {"integers": None, **{f"requests_{n}": None for n in range(4)}})
    golden.memories.vector[:] = 0
    for block in (block for block in BLOCKS if block["count"]):
        execute(golden, NOW, "attend", **{k: v for k, v in block.items() if k != "signal"})
    for address, data in around.found.items():
        assert data == integers(golden, address, last=False)["integers"], f"word {address}"
        golden.memories.vector[address] = 0
    assert not golden.memories.vector.any(), "words that golden wrote are missing"
    assert around.signals == [block["signal"] for block in BLOCKS]
    assert around.requested[0] == around.requested[1] == {100, 101, 103}
    assert around.requested[2] == around.requested[3] == {100, 103}
