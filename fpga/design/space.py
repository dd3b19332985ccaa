"""The ports and attention engines that a choice is made among, each with its steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from einloom.fpga.boards import Board
from einloom.models.decoder_graph import DecoderGraph

MOST_LANES = 32
"""Attention lanes that a config can ask for."""
TILES = (8, 16, 32, 64, 128, 256)
"""Keys of a tile."""
LANE_COUNTS = 4
"""Numbers of attention lanes that are tried, the largest that a core can have first."""
MANY_CHANNELS = 8
"""A core with as many has a vector unit of at least 16 lanes, and a smaller one no more than that."""


class Goal(StrEnum):
    """What a core is to be fast at."""

    decode = "decode"
    """A token at the end of the context."""
    prefill = "prefill"
    """The first token behind a prompt as long as the context."""
    batch = "batch"
    """As many tokens at once as the array has rows, at the end of the context; per token."""

    @property
    def rows(self) -> tuple[int, ...]:
        """Tokens at once that are tried."""
        return (1,) if self is Goal.decode else (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Ports:
    """Weight channels, the width of all ports, and the lanes of the vector unit."""

    channels: int
    beat_bits: int
    lanes: int


@dataclass(frozen=True)
class Heads:
    """The attention engines: lanes, of keys by queries each."""

    lanes: int
    rows: int
    columns: int


def all_ports(board: Board) -> Iterator[Ports]:
    """Ports that the board has banks for; each channel has a bank, and the rest of the core another one."""
    for shift in reversed(range(board.most_channels.bit_length())):
        channels = 1 << shift
        for beat_bits in (512, 256):
            for lanes in (32, 16) if channels >= MANY_CHANNELS else (16, 8):
                if 32 * lanes % beat_bits == 0:
                    yield Ports(channels, beat_bits, lanes)


def all_heads(ports: Ports, graph: DecoderGraph, rows: int, cache_bits: int) -> Iterator[Heads]:
    """Attention lanes behind the channels: as many as the model has heads of keys and values, at most."""
    attention = graph.attention
    group = attention.heads // attention.groups
    widths = sorted({1, -(-group // 2), group} | ({group * n for n in (2, 4, 8) if n <= rows}))
    most = min(ports.channels, MOST_LANES, 1 << (attention.groups - 1).bit_length())
    for shift in range(min(LANE_COUNTS, most.bit_length())):
        lanes = most >> shift
        least = ports.beat_bits * ports.channels // lanes // (ports.lanes * cache_bits)
        for keys in TILES:
            if keys >= max(least, rows):
                yield from (Heads(lanes, keys, columns) for columns in widths)
