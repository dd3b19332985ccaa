"""The cores that a choice is made among: ports, an array, and attention engines, each with its steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import lcm
from typing import Any

from einloom.fpga.boards import Board
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.config import AUTO, Config, check_config
from einloom.spec.engines.sparse_dsp import three_fit
from einloom.spec.formats import Format

DEEP_QUEUE, SHORT_QUEUE = 4096, 512
"""Beats of a weight queue: those of an UltraRAM, or of a block memory."""
GROUP = 128
MOST_LANES = 32
"""Attention lanes that a config can ask for."""
RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""Weights that the array takes in a cycle, over those that a beat of a port has."""
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
class Array:
    """The GEMM engine."""

    rows: int
    columns: int
    lanes: int
    packing: str


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


def all_arrays(ports: Ports, format: Format, goal: Goal) -> Iterator[Array]:
    """Arrays that take a port's beats at a rate near to that at which they come."""
    bits = format.stored_bits
    for rows in goal.rows:
        packing, together = _packing(format, rows)
        for lanes in (8, 16, 32):
            if ports.lanes % lanes:
                continue
            unit = lcm(together * ports.channels, ports.lanes)
            wanted = (ratio * ports.beat_bits / (lanes * bits) * ports.channels / unit for ratio in RATIOS)
            for count in sorted({max(1, round(n)) for n in wanted}):
                yield Array(rows, count * unit, lanes, packing)


def _packing(format: Format, rows: int) -> tuple[str, int]:
    """How weights share DSPs, and how many columns do."""
    if format.sparse:
        return "weights", 2
    if rows == 1 and three_fit(format) and format.bits <= 3:
        return "three_weights", 3
    return ("weights", 2) if rows == 1 else ("tokens", 1)


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


def formats_with(format: Format) -> tuple[str, ...]:
    """Formats of an engine for weights of `format`, which is the first.

    FP4 and FP3 of BitMoD go together, since the second costs few LUTs.
    """
    return ("bitmod-fp4", "bitmod-fp3") if format.name == "bitmod-fp4" else (format.name,)


def config_of(
    name: str, graph: DecoderGraph, format: Format, ports: Ports, array: Array, heads: Heads, cache_bits: int = 8
) -> Config:
    """The config of such a core, whose memories follow from the model; ConfigError for one that can't be built."""
    inputs = max(tensor.shape[1] for tensor in graph.linears())
    longest = 1 << (inputs + GROUP - 1).bit_length() if inputs > 16384 - GROUP else 16384
    engine: dict[str, Any] = {
        "kind": "sparse_dsp",
        "rows": array.rows,
        "columns": array.columns,
        "lanes": array.lanes,
        "formats": list(formats_with(format)),
        "group": GROUP,
        "packing": array.packing,
        "max_inputs": longest,
    }
    attention = {
        "kind": "fusemax",
        "rows": heads.rows,
        "columns": heads.columns,
        "max_head": max(16, 1 << (graph.attention.size - 1).bit_length()),
        "quotient_bits": 4,
        "exponentials": "serial",
    }
    core = {
        "lanes": ports.lanes,
        **dict.fromkeys(("vector_words", "activation_words", "query_words", "staging_words"), AUTO),
        "cache_bits": cache_bits,
        "cache_memory": "channels",
        "cache_ring": True,
        "attention_lanes": heads.lanes,
        "fifo_beats": DEEP_QUEUE if ports.beat_bits * DEEP_QUEUE >= 1 << 20 and ports.channels >= 4 else SHORT_QUEUE,
    }
    memory = {"channels": ports.channels, "beat_bits": ports.beat_bits}
    return check_config({"name": name, "engine": engine, "memory": memory, "attention": attention, "core": core})
