"""The size of a core."""

from dataclasses import dataclass

from einloom.hw.array.attention_engine import AttentionSpec
from einloom.hw.array.engine import EngineSpec
from einloom.spec.cache_format import CacheFormat
from einloom.spec.memory_ports import MemoryPort, memory_ports


@dataclass(frozen=True)
class CoreSpec:
    """Size of a core.

    Parameters
    ----------
    gemm, attention : the engines; the GEMM engine's channels are the weight ports.
    beats_at_once : beats of a memory port in a beat of the GEMM engine.
    lanes : float32 lanes of the vector unit.
    vector_words, activation_words, query_words, staging_words : words of `lanes` elements in the memories on the chip.
    fifo_beats : beats in the queue of each weight channel.
    cache_bits : width of an element of a key or value in memory.
    token_scales : each token and head of the cache has a scale.
    cache_recent : last tiles of an attention job with codes of eight bits.
    cache_ring : heads may have a ring of tiles.
    attention_lanes : attention engines side by side.
    cache_in_channels : keys and values are behind the weight channels.
    design : a number of 64 bits that reports begin with.
    parity : the memories on the chip have parity bits.
    """

    gemm: EngineSpec
    attention: AttentionSpec
    beats_at_once: int
    lanes: int
    vector_words: int
    activation_words: int
    query_words: int
    staging_words: int
    fifo_beats: int
    cache_bits: int
    token_scales: bool
    cache_recent: int
    cache_ring: bool
    attention_lanes: int
    cache_in_channels: bool
    design: int
    parity: bool

    @property
    def tokens(self) -> int:
        """Tokens of a chunk, at most."""
        return self.gemm.rows

    @property
    def beat_bits(self) -> int:
        """Width of all memory ports."""
        return self.gemm.beat_bits // self.beats_at_once

    @property
    def cache(self) -> CacheFormat:
        """The tiles of keys and values in memory."""
        stripes = self.cache_masters // self.attention_lanes or 1
        beat_bits = self.beat_bits * stripes
        return CacheFormat(
            self.cache_bits, self.attention.rows, beat_bits, self.token_scales, self.cache_recent, self.cache_ring
        )

    @property
    def slow_lanes(self) -> bool:
        """An attention lane takes a beat of each of its masters in every other cycle at most."""
        taken = self.cache.rows * 8  # bits a cycle; fewer with codes of 4 bits
        return self.cache_in_channels and 2 * taken * self.attention_lanes <= self.beat_bits * self.cache_masters

    @property
    def cache_masters(self) -> int:
        """Weight channels that the cache is behind; 0 if it is behind the system port."""
        return self.channels if self.cache_in_channels else 0

    @property
    def ports(self) -> tuple[MemoryPort, ...]:
        """The memory ports."""
        return memory_ports(self.channels, cache_in_channels=self.cache_in_channels)

    @property
    def channels(self) -> int:
        """Number of weight channels."""
        return self.gemm.channels
