"""Rows of the vector memory into memory, as `store` is defined, by RowStore and by the StoreUnit around it."""

import pytest

from einloom.hw.core.row_store import RowStore
from einloom.hw.core.store_unit import StoreUnit
from einloom.hw.core.vector_memory import READ_LATENCY
from einloom.hw.part import Part
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.cache_format import CacheFormat
from tests.hw.around import PAUSES, Memory, Writer, chunk, following, instruction, now_and_then

LANES = 2
STEPS = [
    ({"offset": 3, "stride": 5, "words": 2, "a_base": 10, "a_token": 4}, chunk(tokens=3)),
    ({"offset": 0, "stride": 1, "words": 0, "a_base": 10, "a_token": 4}, chunk(tokens=3)),
    ({"offset": 90, "stride": 0, "words": 3, "a_base": 0xFFFE, "a_token": 0}, chunk(tokens=1)),
    ({"offset": 700, "stride": 16, "words": 1, "a_base": 0, "a_token": 1}, chunk(tokens=4)),
    ({"offset": (1 << 32) - 1, "stride": (1 << 24) - 1, "words": 1, "a_base": 7, "a_token": 4095}, chunk(tokens=2)),
]
PARTS: dict[str, Part] = {
    "beat-is-word": RowStore(LANES, 64),
    "two-beats": RowStore(LANES, 32),
    "in-its-unit": StoreUnit(LANES, CacheFormat(8, 4, 64, token_scales=False), words=2, banks=4, parity=False),
}


class VectorMemory:
    """A word READ_LATENCY cycles after its granted address, and other bits in all other cycles."""

    def __init__(self) -> None:
        self.memory = Memory(5)
        self._coming: list[int | None] = [None] * READ_LATENCY

    def word(self, address: int) -> int:
        return self.memory.word(address * LANES * 4, LANES * 4)

    def __call__(self, cycle: Cycle) -> None:
        granted = cycle["word_read"] and cycle["word_granted"]
        self._coming = [*self._coming[1:], self.word(cycle["word_address"]) if granted else None]
        word = self._coming[0]
        cycle.set("word_data", (cycle.number * 0x9E3779B1) % (1 << 64) if word is None else word)


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("shape", PARTS)
def test_rows_lie_where_the_instruction_says(shape: str, pause: float) -> None:
    part = PARTS[shape]
    beat = 4 if shape == "two-beats" else 8
    vectors, writer = VectorMemory(), Writer(beat, latency=1 if not pause else 9)
    expected: dict[int, int] = {}
    requests = []
    for i, now in STEPS:
        for token in range(now["tokens"] if i["words"] else 0):
            at = (i["offset"] + token * i["stride"]) * beat
            requests.append({"offset": at, "beats": i["words"] * LANES * 4 // beat})
            for n in range(i["words"]):
                word = vectors.word((i["a_base"] + token * i["a_token"] + n) % (1 << 16))
                expected |= {at + n * LANES * 4 + k: word >> 8 * k & 0xFF for k in range(LANES * 4)}
    bench = PartBench(
        part,
        {"instruction": [instruction("store", **fields) for fields, _ in STEPS]},
        held={"chunk": STEPS[0][1], "word_granted": now_and_then(1 - pause)},
        pauses=dict.fromkeys(("instruction", "request", "beats"), pause),
        partners=[following("instruction", chunk=[c for _, c in STEPS]), vectors, writer],
    )
    run = bench.check(lambda _: {"request": requests, "beats": [None] * sum(r["beats"] for r in requests)})
    assert {
        hex(at): (writer.memory.get(at), byte) for at, byte in expected.items() if writer.memory.get(at) != byte
    } == {}
    assert writer.memory.keys() == expected.keys()
    assert writer.answers == len(run.outputs["request"])


def test_an_instruction_is_complete_when_memory_has_answered_its_last_row() -> None:
    writer = Writer(8, latency=30)
    completed: list[tuple[int, int]] = []

    def watch(cycle: Cycle) -> None:
        if cycle.taken("instruction") is not None:
            completed.append((cycle.number, cycle["answered"]))

    bench = PartBench(
        PARTS["beat-is-word"],
        {"instruction": [instruction("store", offset=1, stride=2, words=1, a_token=1)]},
        held={"chunk": chunk(tokens=2), "word_granted": 1},
        partners=[writer, watch],
    )
    run = bench.check(
        lambda _: {"request": [{"offset": 8, "beats": 1}, {"offset": 24, "beats": 1}], "beats": [None] * 2}
    )
    assert completed == [(run.cycles["beats"][-1] + 30 + 1, 1)]
