"""When rows of results, and keys and values, are written into memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from einloom.mapping.cost.events import Steps
from einloom.mapping.cost.latencies import (
    ANSWER_LATENCY,
    CROSSING,
    LANE_BEAT,
    REQUEST_LATENCY,
    STORE_FETCH,
    STORE_REQUEST,
    TILE_FETCH,
    TILE_REQUEST,
    WRITE_LATENCY,
)
from einloom.mapping.cost.memory_port import MemoryPort
from einloom.mapping.cost.unit_queues import Chunk, Presented
from einloom.spec.instruction import Instruction
from einloom.spec.manifest import CoreManifest
from einloom.spec.memory_timing import MemoryTiming

HALVED = 3  # cycles of a beat of upper halves (hw/core/tile_store.py)
LANE_ANSWER = 2  # cycles from a lane's last answer to the end of the instruction (hw/core/store_lanes.py)


@dataclass(frozen=True)
class Write:
    """A request of the store unit.

    Attributes
    ----------
    begins : cycles from the end of what came before to the request.
    first : cycles from there to the first beat.
    beats : that are written.
    sends : cycles from the first beat to the last one.
    is_tile : keys or values.
    """

    begins: int
    first: int
    beats: int
    sends: int
    is_tile: bool


class RowWriter:
    """The store unit with its masters, one request after the other: each begins when the one before is answered."""

    def __init__(self, core: CoreManifest, system: MemoryPort, cache: MemoryPort, timing: MemoryTiming) -> None:
        self._core, self._system, self._cache, self._timing = core, system, cache, timing

    def carry_out(self, p: Presented) -> Steps:
        """A `store` or a `store_kv`, complete when memory has answered."""
        cycle = p.starts
        for write in self.requests(p.instruction, p.chunk):
            request = cycle + write.begins
            # The first beat waits until its burst is announced.
            first = max(request + write.first, request + REQUEST_LATENCY) + CROSSING + WRITE_LATENCY
            port = self._cache if write.is_tile else self._system
            yield first
            port.announce(first, write.beats)
            yield first + write.sends  # reads beside it are known then
            last = max(first + write.sends, port.write(first, write.beats, write.sends))
            lanes = LANE_ANSWER if write.is_tile and self._core.cache_in_channels else 0
            cycle = last + self._timing.latency + ANSWER_LATENCY + lanes
            p.record.work += write.beats
            each = self._tile_bytes(p.instruction) if write.is_tile else self._core.beat_bytes
            p.record.bytes += write.beats * each
        return cycle

    def _tile_bytes(self, i: Instruction) -> int:
        """Bytes of a beat of keys or values, of all lanes at work."""
        return min(i["other_lanes"] + 1, self._core.attention_lanes) * self._core.cache.beat_bits // 8

    def requests(self, i: Instruction, chunk: Chunk) -> Iterator[Write]:
        """Those of a `store` or a `store_kv`."""
        if i.opcode.name == "store":
            yield from self._rows(i, chunk)
        else:
            yield from self._tiles(i, chunk)

    def _rows(self, i: Instruction, chunk: Chunk) -> Iterator[Write]:
        """A request for the row of each token; each word is fetched, and then sent."""
        words, beats = i["words"], self._core.lanes * 32 // (8 * self._core.beat_bytes)
        if words:
            sends = words * beats - 1 + (words - 1) * STORE_FETCH
            for _ in range(chunk.tokens):
                yield Write(STORE_REQUEST, 1 + STORE_FETCH, words * beats, sends, False)

    def _tiles(self, i: Instruction, chunk: Chunk) -> Iterator[Write]:
        """A request for each tile that the chunk touches; with recent tiles another one for its upper halves."""
        cache, elements = self._core.cache, i["elements"]
        beat_bytes = cache.beat_bits // 8
        touched = (chunk.position % cache.rows + chunk.tokens - 1) // cache.rows + 1
        codes = elements if cache.recent or cache.bits == 8 else elements // 2
        whole = codes * cache.rows // beat_bytes + cache.header_beats
        halves = elements // 2 * cache.rows // beat_bytes
        if not elements or not chunk.tokens:
            return
        each = LANE_BEAT if self._core.cache_in_channels else 1
        for _ in range(touched):
            yield Write(TILE_REQUEST, TILE_FETCH, whole, (whole - 1) * each, True)
            if cache.recent:
                beats = halves + cache.header_beats
                yield Write(TILE_REQUEST, TILE_FETCH, beats, (cache.header_beats - 1) * each + halves * HALVED, True)
