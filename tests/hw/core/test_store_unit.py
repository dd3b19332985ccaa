"""`store` and `store_kv` one after the other through one write master."""

import pytest

from einloom.hw.core.store_unit import StoreUnit
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.cache_format import CacheFormat
from tests.hw.around import PAUSES, Writer, chunk, instruction

PART = StoreUnit(2, CacheFormat(8, 4, 64, token_scales=False), words=2, banks=4, parity=False)


@pytest.mark.parametrize("name", ["store", "store_kv"])
def test_the_unit_is_busy_from_the_cycle_behind_an_instruction_to_its_end(name: str) -> None:
    fields = {"words": 1} if name == "store" else {"elements": 2}
    busy, ends = [], []

    def watch(cycle: Cycle) -> None:
        busy.append(cycle["busy"])
        if cycle.taken("instruction") is not None:
            ends.append(cycle.number)

    bench = PartBench(
        PART,
        {"instruction": [instruction(name, offset=0, **fields)]},
        held={"chunk": chunk(position=1, tokens=1), "word_granted": 1},
        partners=[Writer(8), watch],
    )
    bench.check(lambda _: {"request": [{"offset": 0, "beats": 1}], "beats": [None]})
    (end,) = ends
    assert busy[: end + 2] == [0, *[1] * end, 0]


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
def test_each_instruction_goes_to_its_part(pause: float) -> None:
    """Eight bytes of rows of the vector memory, all ones here, and four of keys, which are 0x0201 for each token."""
    writer = Writer(8)
    busy: list[int] = []

    def stage(cycle: Cycle) -> None:
        cycle.set("write_enable", int(cycle.number < 2))
        cycle.set("write_token", cycle.number % 2)
        busy.append(cycle["busy"])

    instructions = [
        instruction("store", offset=0, stride=1, words=1),
        instruction("store_kv", offset=8, base=0, elements=2),
        instruction("store", offset=32, words=1),
        instruction("store_kv", offset=16, base=0, elements=0),
        instruction("store_kv", offset=24, base=0, elements=2),
    ]
    bench = PartBench(
        PART,
        {"instruction": instructions},
        held={
            "chunk": chunk(position=1, tokens=2),
            "word_granted": 1,
            "word_data": (1 << 64) - 1,
            "write_data": 0x0201,
        },
        pauses={"instruction": [1] * 4 + [0] * 200, "request": pause, "beats": pause},
        partners=[writer, stage],
    )
    offsets = [0, 8, 8 * 8, 32 * 8, 32 * 8, 24 * 8]
    bench.check(lambda _: {"request": [{"offset": o, "beats": 1} for o in offsets], "beats": [None] * 6})
    keys = {start + n: byte for start in (64, 192) for n, byte in ((1, 1), (2, 1), (5, 2), (6, 2))}
    rows = {start + n: 255 for start in (0, 8, 256) for n in range(8)}
    assert writer.memory == keys | rows
    assert not busy[-1]
    assert busy[6] == 1
