"""Keys and values into the tiles of the cache as `store_kv` is defined, by TileStore and by StoreUnit around it."""

import math
import random

import pytest

from einloom.hw.core.store_unit import StoreUnit
from einloom.hw.core.tile_store import TileStore
from einloom.hw.part import Part
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.cache_format import CacheFormat
from tests.hw.around import PAUSES, Writer, chunk, following, instruction

ROWS = 4
LANES = 4
WORDS = 6
FORMATS = {
    "int8": CacheFormat(8, ROWS, 64, token_scales=False),
    "int4": CacheFormat(4, ROWS, 64, token_scales=False),
    "narrow": CacheFormat(8, ROWS, 16, token_scales=False),
    "in-its-unit": CacheFormat(8, ROWS, 64, token_scales=False),
    "int8-scales": CacheFormat(8, ROWS, 64, token_scales=True),
    "int4-scales": CacheFormat(4, ROWS, 64, token_scales=True),
    "narrow-scales": CacheFormat(8, ROWS, 16, token_scales=True),
    "recent": CacheFormat(4, ROWS, 64, token_scales=True, recent=2),
    "ring": CacheFormat(8, ROWS, 64, token_scales=False, ring=True),
    "recent-narrow": CacheFormat(4, ROWS, 16, token_scales=True, recent=1),
}
RING = {"ring": 1, "sinks": 3}
"""Fields of `store_kv` where a cache may have a ring: one tile is all of it, and the first tile lies behind it."""
PARTS: dict[str, Part] = {
    name: (StoreUnit if name == "in-its-unit" else TileStore)(
        LANES, format, WORDS + format.token_scales, banks=ROWS, parity=False
    )
    for name, format in FORMATS.items()
}
# (first word of the staging buffer, elements, first beat, chunk); those of a step are written before it is given.
STEPS = [
    (0, 8, 100, chunk(position=5, tokens=2)),  # inside a tile
    (2, 4, 10, chunk(position=2, tokens=4)),  # on into the next tile
    (0, 0, 10, chunk(position=2, tokens=4)),  # nothing
    (3, 12, 3, chunk(position=0, tokens=4)),  # a whole tile
    (5, 4, 0, chunk(position=7, tokens=1)),  # the last row, and the last word
    (1, 8, (1 << 32) - 1, chunk(position=3, tokens=3)),
]


def staged(cache: CacheFormat, seed: int) -> list[list[list[int]]]:
    """For each step the elements of each token; with scales a word comes before them, whose end is the header."""
    rng, first = random.Random(seed), LANES * cache.token_scales
    return [
        [[rng.getrandbits(cache.code_bits) for _ in range(first + elements)] for _ in range(now["tokens"])]
        for _, elements, _, now in STEPS
    ]


def golden(elements: list[list[list[int]]], cache: CacheFormat) -> tuple[list[dict[str, int]], dict[int, int]]:
    """(requests, bytes in memory): byte e of a tile's rows lie together; two elements of 4 bits are a byte."""
    if cache.recent:
        return golden_recent(elements, cache)
    requests, memory, beat = [], {}, cache.beat_bits // 8
    for (_, size, offset, now), tokens in zip(STEPS, elements, strict=True):
        row_bytes = cache.header_bytes + size * cache.bits // 8
        tile_beats = row_bytes * ROWS // beat
        positions = range(now["position"], now["position"] + now["tokens"])
        for tile in sorted({p // ROWS for p in positions}) if size else ():
            place = 1 - tile if cache.ring else tile
            requests.append({"offset": (offset + place * tile_beats) * beat, "beats": tile_beats})
        for position, token in zip(positions, tokens, strict=True):
            if not size:
                continue
            kept = token[-row_bytes * 8 // cache.bits :]
            raw = sum(e << cache.bits * n for n, e in enumerate(kept)).to_bytes(row_bytes, "little")
            tile, row = divmod(position, ROWS)
            start = (offset + (1 - tile if cache.ring else tile) * tile_beats) * beat
            memory |= {start + e * ROWS + row: byte for e, byte in enumerate(raw)}
    return requests, memory


def golden_recent(elements: list[list[list[int]]], cache: CacheFormat) -> tuple[list[dict[str, int]], dict[int, int]]:
    """The same with whole codes in the place of a recent tile, and their upper halves behind all of these."""
    requests, memory, beat, header = [], {}, cache.beat_bits // 8, cache.header_bytes
    for (_, size, offset, now), tokens in zip(STEPS, elements, strict=True):
        wide, narrow = (header + size) * ROWS // beat, (header + size // 2) * ROWS // beat
        positions = range(now["position"], now["position"] + now["tokens"]) if size else ()
        starts = {
            p // ROWS: (
                offset + (p // ROWS % cache.recent if p >= ROWS else cache.recent) * wide,
                offset + (cache.recent + 1) * wide + p // ROWS * narrow,
            )
            for p in positions
        }
        for whole, halves in starts.values():
            requests += [{"offset": whole * beat, "beats": wide}, {"offset": halves * beat, "beats": narrow}]
        for position, token in zip(positions, tokens, strict=bool(size)):
            kept = token[-(header + size) :]
            signed = [code - 256 * (code > 127) for code in kept[header:]]
            rounded = [min(math.floor(code / 16 + 0.5), 7) & 0xF for code in signed]
            pairs = [low | high << 4 for low, high in zip(rounded[::2], rounded[1::2], strict=True)]
            for start, raw in zip(starts[position // ROWS], (kept, kept[:header] + pairs), strict=True):
                memory |= {start * beat + e * ROWS + position % ROWS: byte for e, byte in enumerate(raw)}
    return requests, memory


def stage(elements: list[list[list[int]]], cache: CacheFormat) -> object:
    """Writes each step's elements, a word of a token in each cycle, and then gives its instruction."""
    step, words = 0, []

    def prepare() -> None:
        base = STEPS[step][0]
        for token, row in enumerate(elements[step]):
            for n in range(0, len(row), LANES):
                data = sum(e << cache.code_bits * i for i, e in enumerate(row[n : n + LANES]))
                words.append({"write_token": token, "write_address": base + n // LANES, "write_data": data})

    def partner(cycle: Cycle) -> None:
        nonlocal step
        if cycle.number == 0:
            prepare()
        if cycle.taken("instruction") is not None:
            step += 1
            if step < len(STEPS):
                prepare()
        elif cycle.number and cycle.taken("instruction") is None and not words and partner.given == step:
            base, size, offset, _ = STEPS[step]
            ring = RING if cache.ring else {}
            cycle.put("instruction", instruction("store_kv", offset=offset, base=base, elements=size, **ring))
            partner.given += 1
            if partner.given == len(STEPS):
                partner.given = -1
        cycle.set("write_enable", int(bool(words)))
        for name, value in (words.pop(0) if words else {}).items():
            cycle.set(name, value)

    partner.given = 0
    return partner


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("shape", PARTS)
def test_keys_lie_in_the_tiles_of_their_positions_and_nothing_else_changes(shape: str, pause: float) -> None:
    cache = FORMATS[shape]
    elements = staged(cache, seed=3)
    requests, memory = golden(elements, cache)
    writer = Writer(cache.beat_bits // 8, latency=1 if not pause else 9)
    bench = PartBench(
        PARTS[shape],
        held={"chunk": STEPS[0][3]},
        pauses=dict.fromkeys(("instruction", "request", "beats"), pause),
        partners=[following("instruction", chunk=[s[3] for s in STEPS]), stage(elements, cache), writer],
    )
    run = bench.check(lambda _: {"request": requests, "beats": [None] * sum(r["beats"] for r in requests)})
    assert {hex(a): (writer.memory.get(a), b) for a, b in memory.items() if writer.memory.get(a) != b} == {}
    assert writer.memory.keys() == memory.keys()
    assert writer.answers == len(requests)
    if not pause and not cache.recent:
        cycles, sent = run.cycles["beats"], 0
        for request in requests:
            its = cycles[sent : sent + request["beats"]]
            sent += request["beats"]
            assert its == list(range(its[0], its[0] + len(its)))  # a beat in every cycle
