"""Sizes of a core's memories that follow from a model."""

from pathlib import Path

from einloom.catalogue import load_model
from einloom.generators.registry import describe
from einloom.mapping.fit import needed_words, require_fit
from einloom.models.decoder_graph import DecoderGraph
from einloom.models.decoder_model import DecoderModel
from einloom.spec.config import LANE_MEMORIES, Config, largest_memories

BLOCK = 512
"""Words of the smallest block memory. What is larger is made of whole ones, what is smaller is a power of two."""


def sized(config: Config, graph: DecoderGraph) -> Config:
    """`config` with as many words as a model of this graph needs in each memory that is `auto`.

    InputError with all that keeps the model off the design, whatever the sizes of these memories.
    """
    if not config.unsized:
        return config
    lanes = config.core_section.attention_lanes
    largest = largest_memories(lanes)
    manifest = describe(config.with_memories({name: largest[name] for name in config.unsized}))
    require_fit(graph, manifest)
    needed = needed_words(graph, manifest)
    shared = LANE_MEMORIES if lanes > 1 else ()
    return config.with_memories({
        name: (_power_of_two if name in shared else _rounded)(needed[name]) for name in config.unsized
    })


def sized_for(config: Config, model: str | Path | DecoderModel | None) -> Config:
    """`config` as it is without a model, and otherwise sized for the one; InputError when that does not fit."""
    if model is None:
        return config
    graph = load_model(model).graph
    chosen = sized(config, graph)
    if chosen is config:
        require_fit(graph, describe(config))
    return chosen


def _rounded(words: int) -> int:
    """The size of a memory of at least so many words."""
    return -(-words // BLOCK) * BLOCK if words > BLOCK else _power_of_two(words)


def _power_of_two(words: int) -> int:
    return 1 << (words - 1).bit_length() if words > 1 else 1
