"""Sizes of a core's memories that follow from a model."""

from pathlib import Path

from einloom.catalogue import load_model
from einloom.generators.registry import describe
from einloom.mapping.fit import needed_words, require_fit
from einloom.models.decoder_graph import DecoderGraph
from einloom.models.decoder_model import DecoderModel
from einloom.spec.config import LARGEST_MEMORY, Config

BLOCK = 512
"""Words of the smallest block memory. What is larger is made of whole ones, what is smaller is a power of two."""


def sized(config: Config, graph: DecoderGraph) -> Config:
    """`config` with as many words as a model of this graph needs in each memory that is `auto`.

    InputError with all that keeps the model off the design, whatever the sizes of these memories.
    """
    if not config.unsized:
        return config
    manifest = describe(config.with_memories(dict.fromkeys(config.unsized, LARGEST_MEMORY)))
    require_fit(graph, manifest)
    needed = needed_words(graph, manifest)
    return config.with_memories({name: _rounded(needed[name]) for name in config.unsized})


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
    return -(-words // BLOCK) * BLOCK if words > BLOCK else 1 << (words - 1).bit_length() if words > 1 else 1
