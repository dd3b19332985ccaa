"""`store_kv` on lanes against the golden core: what each lane has staged lies behind its own channels."""

import numpy as np
import pytest

from einloom.hw.core.store_lanes import StoreLanes
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import PAUSES, chunk, instruction
from tests.hw.bus.test_stripes import Lane
from tests.hw.core.small import execute, packed, small

SPEC = small("lanes").spec
PARTS = {
    "lanes": StoreLanes(
        SPEC.lanes,
        SPEC.cache,
        SPEC.staging_words,
        banks=2,
        parity=False,
        count=SPEC.attention_lanes,
        masters=SPEC.cache_masters,
    )
}
NOW = chunk(position=7, tokens=2)  # from one tile into the next
STORES = [
    {"offset": 4, "base": 0, "elements": 16, "other_lanes": 1},
    {"offset": 20, "base": 2, "elements": 8, "other_lanes": 0},
    {"offset": 24, "base": 1, "elements": 0, "other_lanes": 1},
    {"offset": 28, "base": 3, "elements": 16, "other_lanes": 63},
]
CHANNELS = 4


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
def test_each_lane_stores_behind_its_own_channels(pause: float) -> None:
    golden = small("lanes").golden(beats=64)
    beat = SPEC.beat_bits // 8
    before = [window.copy() for window in golden.weights]
    staging = golden.memories.staging
    rng = np.random.default_rng(3)
    staging[:] = rng.integers(-128, 128, staging.shape)
    by_row = staging.reshape(SPEC.cache.rows, SPEC.attention_lanes, SPEC.staging_words, SPEC.lanes)
    writes = [
        {
            "write_token": token,
            "write_address": lane * SPEC.staging_words + n,
            "write_data": packed(by_row[(NOW["position"] + token) % SPEC.cache.rows, lane, n], 8),
        }
        for lane in range(SPEC.attention_lanes)
        for token in range(NOW["tokens"])
        for n in range(5)
    ]
    writers = [Lane(n, beat) for n in range(CHANNELS)]
    given = []

    def drive(cycle: Cycle) -> None:
        cycle.set("answers", sum(writer.answered << n for n, writer in enumerate(writers)))
        cycle.set("write_enable", int(bool(writes)))
        for name, value in (writes.pop(0) if writes else {}).items():
            cycle.set(name, value)
        if not writes and not given:
            given.append(True)
            cycle.put("instruction", *(instruction("store_kv", **store) for store in STORES))

    streams = [f"{name}_{n}" for name in ("requests", "beats") for n in range(CHANNELS)]
    taken: list[int] = []

    def count(cycle: Cycle) -> None:
        if cycle.taken("instruction") is not None:
            assert all(writer.idle for writer in writers), "complete before memory has answered"
            taken.append(cycle.number)

    bench = PartBench(
        PARTS["lanes"],
        held={"chunk": NOW},
        pauses=dict.fromkeys(streams, pause),
        partners=[*writers, drive, count],
        until=lambda: len(taken) == len(STORES),
    )
    bench.check(lambda _: dict.fromkeys(streams))
    for store in STORES:
        execute(golden, NOW, "store_kv", **store)
    for n, (writer, window) in enumerate(zip(writers, golden.weights, strict=True)):
        found = before[n].copy()
        for at, byte in writer.memory.items():
            found[at] = byte
        assert (found == window).all(), f"channel {n}"
        assert (before[n] != window).any(), f"channel {n}"
