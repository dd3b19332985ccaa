"""einloom/choice.py: a shipped core for a model, or all that is in the way."""

import pytest

from einloom.choice import choose_config
from einloom.generators.registry import describe
from einloom.mapping.fit import fit_problems
from einloom.models.decoder_graph import DecoderGraph
from einloom.models.families.llama import LlamaKeys
from einloom.spec.errors import InputError
from tests.tiny_llama import CONFIG


def model(**changes: object) -> DecoderGraph:
    return LlamaKeys.model_validate(CONFIG | changes).graph()


def test_the_default_core_is_chosen_where_it_does() -> None:
    config, reason = choose_config(model())
    assert (config.name, reason) == ("default", "the default core takes this model")


def test_a_larger_model_gets_the_smallest_core_that_takes_it() -> None:
    smollm = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 1, "num_attention_heads": 9}
    config, reason = choose_config(model(num_key_value_heads=3, vocab_size=49152, **smollm))
    assert config.name == "core-2ch"
    assert reason.startswith("the smallest shipped core that takes this model; default does not: core.vector_words: ")


def test_a_model_too_large_for_all_shipped_cores_gets_one_with_larger_memories() -> None:
    llama = {"hidden_size": 8192, "intermediate_size": 16384, "num_attention_heads": 64, "num_key_value_heads": 8}
    graph = model(vocab_size=32000, **llama)
    config, reason = choose_config(graph)
    assert reason.startswith("no shipped core takes this model as it is; this one does with core.")
    assert fit_problems(graph, describe(config)) == []


def test_all_cores_say_why_they_do_not_take_a_model() -> None:
    with pytest.raises(InputError, match=r"^no shipped core takes this model:\n  default does not: .*\n(.*\n)*.*u280 "):
        choose_config(model(intermediate_size=1 << 20))
