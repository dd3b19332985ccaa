"""Tiles of keys and values as they lie in the cache, in the engine's order."""

import pytest

from einloom.hw.core.tile_reader import TileReader
from einloom.sim.bench.part_bench import PartBench
from tests.hw.around import PAUSES, Memory, reader

BEAT_BYTES = 8
ROWS = 4
MAX_HEAD = 16
NO_JUMP = {"sinks": 0, "keys": 0, "values": 0}
JOBS = [
    {"keys": 100, "values": 900, "heads": {"query_head": 8, "value_head": 16, "tiles": 3}, "jump": NO_JUMP},
    {"keys": 40, "values": 7, "heads": {"query_head": 4, "value_head": 8, "tiles": 1}, "jump": NO_JUMP},
    {"keys": (1 << 32) - 8, "values": 0, "heads": {"query_head": 16, "value_head": 4, "tiles": 2}, "jump": NO_JUMP},
]
JUMPS = [
    {"keys": 100, "values": 900, "heads": {"query_head": 8, "value_head": 16, "tiles": 4}, "jump": jump}
    for sinks in range(4)
    for jump in [{"sinks": sinks, "keys": 8 * (sinks + 7), "values": 16 * (sinks + 7)}]
]
PARTS = {bits: TileReader(ROWS, 8 * BEAT_BYTES, bits, MAX_HEAD, parity=False) for bits in (4, 8)}
Words = list[int]


def visited(tiles: int) -> list[tuple[str, int]]:
    """K0, K1, V0, K2, V1 and so on."""
    keys = [("keys", 0)]
    pairs = [step for n in range(1, tiles) for step in (("keys", n), ("values", n - 1))]
    return [*keys, *pairs, ("values", tiles - 1)]


def tile(memory: Memory, base: int, head: int, number: int, cache_bits: int) -> Words:
    """For each element that of all rows, as 8 bits: byte e of all rows lies together, the even nibble is lower."""
    beats = []
    size = head * ROWS * cache_bits // 8
    for element in range(head):
        at = base * BEAT_BYTES + number * size + element * cache_bits // 8 * ROWS
        row_bytes = [memory.byte(at + row) for row in range(ROWS)]
        if cache_bits == 4:
            nibbles = [byte >> 4 * (element % 2) & 15 for byte in row_bytes]
            row_bytes = [nibble if nibble < 8 else nibble | 0xF0 for nibble in nibbles]
        beats.append(int.from_bytes(bytes(row_bytes), "little"))
    return beats


def golden(memory: Memory, jobs: list[dict], cache_bits: int) -> dict[str, list]:
    streams: dict[str, list] = {"request": [], "keys": [], "values": []}
    for job in jobs:
        sizes = {"keys": job["heads"]["query_head"], "values": job["heads"]["value_head"]}
        for kind, number in visited(job["heads"]["tiles"]):
            size = sizes[kind] * ROWS * cache_bits // 8
            jump = job["jump"]
            steps = number - (0 < jump["sinks"] <= number)
            offset = job[kind] * BEAT_BYTES + steps * size + (number >= jump["sinks"]) * jump[kind] * BEAT_BYTES
            # The number of a beat has 32 bits: what goes beyond is outside every window, and comes round.
            offset %= BEAT_BYTES << 32
            streams["request"].append({"offset": offset, "beats": size // BEAT_BYTES})
            streams[kind] += tile(memory, offset // BEAT_BYTES, sizes[kind], 0, cache_bits)
    return streams


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("cache_bits", PARTS)
def test_tiles_come_in_the_engines_order(cache_bits: int, pause: float) -> None:
    memory = Memory()
    names = ("job", "request", "beats", "keys", "values")
    bench = PartBench(
        PARTS[cache_bits],
        {"job": JOBS},
        pauses=dict.fromkeys(names, pause),
        partners=[reader(memory, BEAT_BYTES)],
    )
    bench.check(lambda inputs: golden(memory, inputs["job"], cache_bits))


@pytest.mark.parametrize("slow", ["keys", "values"])
def test_one_stream_never_blocks_the_other_for_ever(slow: str) -> None:
    memory = Memory(2)
    bench = PartBench(
        PARTS[8], {"job": JOBS * 2}, pauses={slow: [1] * 9 + [0], "job": 0.3}, partners=[reader(memory, BEAT_BYTES)]
    )
    bench.check(lambda inputs: golden(memory, inputs["job"], 8))


def test_tiles_between_sinks_and_window_are_left_out() -> None:
    memory = Memory()
    bench = PartBench(PARTS[8], {"job": JUMPS}, pauses={"request": 0.3}, partners=[reader(memory, BEAT_BYTES)])
    bench.check(lambda inputs: golden(memory, inputs["job"], 8))


def test_a_request_in_every_cycle() -> None:
    memory = Memory()
    job = {"keys": 0, "values": 64, "heads": {"query_head": 4, "value_head": 4, "tiles": 9}, "jump": NO_JUMP}
    bench = PartBench(PARTS[8], {"job": [job]}, partners=[reader(memory, BEAT_BYTES)])
    cycles = bench.check(lambda inputs: golden(memory, inputs["job"], 8)).cycles["request"]
    assert cycles == list(range(cycles[0], cycles[0] + 18))
