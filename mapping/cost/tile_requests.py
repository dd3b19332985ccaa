"""The tiles of keys and values that an `attend` asks for."""

from collections.abc import Mapping

from einloom.mapping.cost.unit_queues import Chunk
from einloom.spec.cache_format import CacheFormat

Tiles = list[tuple[int, int]]
"""First beat and beats of each tile, in the order in which they are visited."""


def tile_requests(cache: CacheFormat, i: Mapping[str, int], chunk: Chunk, tokens: int) -> tuple[Tiles, Tiles, int]:
    """(tiles of keys, tiles of values, cycles in which the jump behind the sinks is computed).

    `i` is an `attend` of so many tokens of the chunk. A window leaves out the tiles before it but for those of sinks
    (hw/core/tile_skip.py).
    """
    rows, beat_bytes = cache.rows, cache.beat_bits // 8
    first = chunk.position + i["first"]
    last = (first + tokens - 1) // rows
    window, ring = i["window"], (1 << i["ring"]) >> 1
    has_window = bool(window) and first >= window
    begin, sinks = (first + 1 - window) // rows if has_window else 0, cache.sink_tiles(i["sinks"])
    if ring:
        begin = max(begin, sinks)
    else:
        sinks = min(sinks, begin)
    visited = [*range(min(sinks, last + 1)), *range(begin, last + 1)]
    found = []
    for start, head in ((i["keys"], i["query_head"]), (i["values"], i["value_head"])):
        small, wide = cache.tile_bytes(head) // beat_bytes, cache.recent_tile_bytes(head) // beat_bytes
        behind = cache.recent_bytes(head) // beat_bytes
        tiles = []
        for tile in visited:
            if cache.is_recent(tile, last):
                tiles.append((start + cache.recent_place(tile) * wide, wide))
            else:
                tiles.append((start + behind + cache.ring_place(tile, ring, i["sinks"]) * small, small))
        found.append(tiles)
    most = max(cache.tile_bytes(i["query_head"]), cache.tile_bytes(i["value_head"])) // beat_bytes
    return found[0], found[1], 1 + most.bit_length() if has_window or ring else 0
