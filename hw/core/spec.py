"""The size of a core."""

from dataclasses import dataclass

from einloom.hw.array.attention_engine import AttentionSpec
from einloom.hw.array.engine import EngineSpec


@dataclass(frozen=True)
class CoreSpec:
    """What a core is made of.

    Parameters
    ----------
    gemm, attention : the engines; the GEMM engine's channels are the weight ports.
    beats_at_once : of a memory port in a beat of the GEMM engine.
    lanes : of the vector unit.
    vector_words, activation_words, query_words, staging_words : of the memories on the chip, of `lanes` elements each.
    fifo_beats : of each weight channel's queue.
    cache_bits : of a key's or value's element in memory.
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
    design: int
    parity: bool

    @property
    def tokens(self) -> int:
        """Of a chunk, at most."""
        return self.gemm.rows

    @property
    def beat_bits(self) -> int:
        """Of all memory ports."""
        return self.gemm.beat_bits // self.beats_at_once

    @property
    def channels(self) -> int:
        """Weight channels."""
        return self.gemm.channels
