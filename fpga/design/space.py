"""The cores that a choice is made among: ports, an array, and attention engines, each with its steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from einloom.fpga.boards import Board
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.config import AUTO, Config, check_config
from einloom.spec.engines.sparse_dsp import three_fit
from einloom.spec.formats import Format

DEEP_QUEUE, SHORT_QUEUE = 4096, 512
"""Beats of a weight queue: those of an UltraRAM, or of a block memory."""
GROUP = 128
LEAST_RATIO, LARGEST_RATIO = 0.4, 3.2
"""Weights that the array takes in a cycle over those that a port brings, at the ends of the range."""
LARGEST_TILE = 256
"""Keys of a tile, at most."""


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
    spare = 0 if board.hbm_banks and board.ddr_banks else 1
    most = max(1, board.weight_banks - spare)
    for shift in range(most.bit_length()):
        for beat_bits in (512, 256):
            for lanes in (32, 16, 8):
                if 32 * lanes % beat_bits == 0:
                    yield Ports(1 << shift, beat_bits, lanes)


def all_arrays(ports: Ports, format: Format, goal: Goal) -> Iterator[Array]:
    """Arrays that take a port's beats at a rate near to that at which they come."""
    bits = format.stored_bits
    for rows in goal.rows:
        packing, together = _packing(format, rows)
        for lanes in (8, 16, 32):
            if ports.lanes % lanes:
                continue
            for each in range(together, LARGEST_TILE + 1, together):
                columns = each * ports.channels
                ratio = each * lanes * bits / ports.beat_bits
                if columns % ports.lanes == 0 and LEAST_RATIO <= ratio <= LARGEST_RATIO:
                    yield Array(rows, columns, lanes, packing)


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
    lanes = 1
    while lanes <= min(ports.channels, 32) and lanes < 2 * attention.groups:
        stripes = ports.channels // lanes
        keys = max(2, rows)
        while keys <= LARGEST_TILE:
            if keys * ports.lanes * cache_bits >= ports.beat_bits * stripes and not keys & (keys - 1):
                for columns in widths:
                    yield Heads(lanes, keys, columns)
            keys *= 2
        lanes *= 2


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
