"""The config of a core that is made of ports, an array and attention engines."""

from einloom.fpga.design.arrays import Array, engine_section
from einloom.fpga.design.space import Heads, Ports
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.config import AUTO, Config, check_config
from einloom.spec.formats import Format

DEEP_QUEUE, SHORT_QUEUE = 4096, 512
"""Beats of a weight queue: those of an UltraRAM, or of a block memory."""


def config_of(
    name: str, graph: DecoderGraph, format: Format, ports: Ports, array: Array, heads: Heads, cache_bits: int = 8
) -> Config:
    """The config of such a core, whose memories follow from the model; ConfigError for one that can't be built."""
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
    engine = engine_section(array, format, max(tensor.shape[1] for tensor in graph.linears()))
    return check_config({"name": name, "engine": engine, "memory": memory, "attention": attention, "core": core})
