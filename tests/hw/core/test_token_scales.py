"""Codes times the scales of their rows, as the golden core reads a tile."""

import random

import numpy as np
import pytest

from einloom.hw.core.token_scales import TokenScales
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.golden.cache_tiles import nibbles, read_tiles
from einloom.spec.cache_format import CacheFormat
from tests.hw.around import PAUSES

ROWS = 4
FORMATS = {
    "8 bits": CacheFormat(8, ROWS, 32, token_scales=True),
    "4 bits": CacheFormat(4, ROWS, 32, token_scales=True),
    "4 bits, wide beats": CacheFormat(4, ROWS, 128, token_scales=True),
}
PARTS = {name: TokenScales(cache) for name, cache in FORMATS.items()}
EXTREMES = [0x00, 0x80, 0xFF, 0x0F, 0x7F, 0x88, 0x77]
TILES = 9
HEAD = 8


def tiles(cache: CacheFormat, seed: int) -> np.ndarray:
    """Bytes [tiles, bytes of a row, rows], of all sizes and the extremes among them."""
    rng = random.Random(seed)
    size = (TILES, cache.header_bytes + HEAD * cache.bits // 8, ROWS)
    return np.array(rng.choices([*range(256), *EXTREMES * 30], k=int(np.prod(size))), np.uint8).reshape(size)


def words(cache: CacheFormat, raw: np.ndarray) -> list[dict[str, int]]:
    """The part's input: of each tile the headers' bytes and then the codes; every other tile is one of values."""
    offered = []
    for n, tile in enumerate(raw):
        for byte in tile[: cache.header_bytes]:
            packed = int.from_bytes(byte.tobytes(), "little")
            offered.append({"header": 1, "is_values": n % 2, "bytes": packed, "elements": packed})
        coded = tile[cache.header_bytes :].T
        for codes in (coded.view(np.int8) if cache.bits == 8 else nibbles(coded)).T:
            packed = int.from_bytes(np.ascontiguousarray(codes).tobytes(), "little")
            offered.append({
                "header": 0,
                "is_values": n % 2,
                "bytes": ~packed & (1 << 8 * ROWS) - 1,
                "elements": packed,
            })
    return offered


def expected(cache: CacheFormat, raw: np.ndarray) -> dict[str, list[int]]:
    streams: dict[str, list[int]] = {"keys": [], "values": []}
    for n, tile in enumerate(raw):
        seen = read_tiles(tile.reshape(1, -1), cache)
        streams["values" if n % 2 else "keys"] += [int.from_bytes(e.astype("<i2").tobytes(), "little") for e in seen.T]
    return streams


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("name", PARTS)
def test_elements_are_codes_times_the_scale_of_their_row(name: str, pause: float) -> None:
    cache = FORMATS[name]
    raw = tiles(cache, seed=cache.bits)
    offered = words(cache, raw)
    bench = PartBench(
        PARTS[name], {"codes": offered}, pauses=dict.fromkeys(("codes", "keys", "values"), pause), limit=1_000
    )
    run = bench.check(lambda _: expected(cache, raw))
    if not pause:
        cycles = sorted(run.cycles["keys"] + run.cycles["values"])
        assert cycles[-1] - cycles[0] < len(offered)  # a word in every cycle


@pytest.mark.parametrize("bits", [4, 8])
def test_no_code_and_no_scale_leaves_the_engines_16_bits(bits: int) -> None:
    cache = CacheFormat(bits, ROWS, 32, token_scales=True)
    code = 0x80 if bits == 8 else 0x88
    raw = np.full((1, cache.tile_bytes(HEAD)), code, np.uint8)
    raw[0, : cache.header_bytes * ROWS] = 0xFF
    seen = read_tiles(raw, cache)
    assert (seen == seen.astype(np.int16)).all()
    assert seen.min() == -(1 << bits - 1) * 4095 >> cache.scale_shift
