"""The vector memory of a chosen core: as many words as the model needs, in blocks that the board has."""

from collections.abc import Iterator

from einloom.fpga.design.candidates import shares
from einloom.fpga.design.on_chip import URAM_LEAST_BITS
from einloom.fpga.design.resource_model import core_resources
from einloom.fpga.design.wish import Wish
from einloom.generators.registry import describe
from einloom.mapping.cost.trial import MORE, layers_alike, shortened
from einloom.mapping.fit import least_vector_words
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.registers import WORD_BITS


def with_room(wish: Wish, config: Config) -> Config:
    """The first of these configs that has room on the board: as it is; with a vector memory large enough for UltraRAM;
    with one in which what is never alive together shares words, and which takes a few more cycles.

    InputError with what the smallest takes.
    """
    room = wish.board.room(config.memory.channels + 1)
    least: dict[str, float] = {}
    for candidate in _sizes(wish, config):
        found = shares(core_resources(candidate), room)
        if max(found.values()) <= wish.share:
            return candidate
        least = min(least or found, found, key=lambda taken: max(taken.values()))
    kind = max(least, key=lambda name: least[name])
    raise InputError(
        f"it takes {least[kind]:.1%} of the {kind.upper()}s that the {wish.board.name} leaves, of {wish.share:.0%}"
    )


def _sizes(wish: Wish, config: Config) -> Iterator[Config]:
    """The config with other vector memories."""
    yield config
    needed, lanes = config.memory_words()["vector_words"], config.core_section.lanes
    ultra = URAM_LEAST_BITS // (WORD_BITS * lanes)
    if needed < ultra:
        yield config.with_memories({"vector_words": ultra})
    # While a layer is computed the next one's parameters come, so that one layer alone would not tell.
    graph = shortened(wish.graph, MORE) if layers_alike(wish.graph) else wish.graph
    yield config.with_memories({"vector_words": least_vector_words(graph, describe(config))})
