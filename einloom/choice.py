"""Chooses a shipped core for a model."""

from collections.abc import Iterator

from einloom.catalogue import DEFAULT_CONFIG, load_config, shipped_configs
from einloom.generators.registry import describe
from einloom.mapping.fit import fit_problems
from einloom.memory_sizes import sized
from einloom.models.decoder_graph import DecoderGraph
from einloom.models.decoder_model import DecoderModel
from einloom.spec.config import AUTO, MEMORIES, Config
from einloom.spec.errors import InputError

FEWEST_BITS = 3
"""Of weights that a model takes which was not trained with them."""


def core_for(model: DecoderModel, config: str | None) -> tuple[Config, str]:
    """The config that was named, or the one that is chosen for the model with the reason, unless it is the default."""
    if config is not None:
        return sized(load_config(config), model.graph), ""
    chosen, reason = choose_config(model.graph)
    return chosen, "" if chosen.name == DEFAULT_CONFIG else reason


def choose_config(model: DecoderGraph) -> tuple[Config, str]:
    """The shipped core for a model, and why: the default one if the model fits it, else the smallest that it fits.

    A model that fits none gets the default core, or else the smallest, that takes it with larger memories on the chip.
    Cores for weights of fewer than FEWEST_BITS are left out: they are for models that were trained with such weights.
    InputError with what is in the way of the default core when no core takes the model.
    """
    refusals = list[str]()
    for config in _candidates():
        problems = fit_problems(model, describe(config), shared=False)
        if not problems:
            if not refusals:
                return config, "the default core takes this model"
            return config, f"the smallest shipped core that takes this model; {refusals[0]}"
        refusals.append(f"{config.name} does not: {'; '.join(problems)}")
    for config in _candidates():
        try:
            larger = sized(config.with_memories(dict.fromkeys(MEMORIES, AUTO)), model)
        except InputError:
            continue
        changed = {name: words for name, words in larger.memory_words().items() if words != getattr(config.core, name)}
        sizes = ", ".join(f"core.{name} {words:,}" for name, words in changed.items())
        return larger, f"no shipped core takes this model as it is; this one does with {sizes}"
    raise InputError("no shipped core takes this model:\n" + "\n".join(f"  {refusal}" for refusal in refusals))


def _candidates() -> Iterator[Config]:
    """The default core, and all others from the smallest array on."""
    cores = [config for config in map(load_config, shipped_configs()) if config.core is not None]
    wide = [core for core in cores if core.gemm.weight_formats[0].bits >= FEWEST_BITS]
    yield load_config(DEFAULT_CONFIG)
    sizes = {core.name: core.gemm.rows * core.gemm.columns * core.gemm.lanes for core in wide}
    yield from sorted((c for c in wide if c.name != DEFAULT_CONFIG), key=lambda c: (sizes[c.name], c.name))
