"""What a config's sections core, engine, attention and memory must agree on."""

from collections.abc import Mapping

import pytest

from einloom.generators.registry import describe
from einloom.spec.errors import ConfigError
from tests.core_bed import core_config

REFUSED: dict[str, dict[str, Mapping[str, object]]] = {
    "must be a multiple of core.lanes": {"engine": {"columns": 12}},
    "core.lanes, 8, must be a multiple of engine.lanes": {"engine": {"lanes": 16, "group": 64}},
    "memory ports of 256 or 512 bits": {"memory": {"beat_bits": 128}},
    "must be whole beats of 512 bits": {"memory": {"beat_bits": 512}},
    "quantizes activations to int8": {"engine": {"activations": "fp16"}},
    "set engine.activations to int8": {
        "engine": {"kind": "lut", "lanes": 8, "formats": ["bipolar4"], "activations": "fp16"}
    },
    "with core.cache_scales static .* set attention.input_bits to 8": {"attention": {"input_bits": 16}},
    "with core.cache_scales token .* set attention.input_bits to 16": {"core": {"cache_scales": "token"}},
    "set attention.spans to 1": {"attention": {"spans": 2}},
    "must fit into a tile of 4 keys": {"engine": {"rows": 5}},
    "core.cache_bits, 128, must be at least memory.beat_bits, 256": {"core": {"cache_bits": 4}},
    "core.cache_bits, 256, must be at least memory.beat_bits, 512": {
        "core": {"lanes": 16, "cache_bits": 8},
        "attention": {"rows": 2},
        "engine": {"rows": 2},
        "memory": {"beat_bits": 512},
    },
    "set core.cache_memory to channels": {"core": {"attention_lanes": 2}},
    "memory.channels, 2, must be one, and at least core.attention_lanes, 4": {
        "core": {"cache_memory": "channels", "attention_lanes": 4}
    },
    "memory.channels, 12, must be one": {
        "engine": {"columns": 24},
        "memory": {"channels": 12},
        "core": {"cache_memory": "channels", "attention_lanes": 4},
    },
    "core.query_words, 48, must be a power of two": {
        "core": {"cache_memory": "channels", "attention_lanes": 2, "query_words": 48}
    },
    "core.cache_bits, 256, must be at least memory.beat_bits . 2 channels of a lane, 512": {
        "core": {"cache_memory": "channels"}
    },
}


@pytest.mark.parametrize(("message", "changes"), REFUSED.items(), ids=range(len(REFUSED)))
def test_a_core_that_cannot_be_is_refused(message: str, changes: dict[str, Mapping[str, object]]) -> None:
    with pytest.raises(ConfigError, match=message):
        core_config(**changes)


def test_tables_that_come_ready_made_are_there_a_cycle_earlier() -> None:
    def cycles(precompute: str) -> int:
        engine = {"kind": "lut", "lanes": 8, "formats": ["bipolar4"], "precompute": precompute}
        gemm = describe(core_config(engine=engine)).gemm
        assert gemm is not None
        return gemm.pipeline_cycles

    assert cycles("fused") == cycles("row") - 1


def test_the_smallest_core_of_these_is_taken() -> None:
    config = core_config(attention={"rows": 8}, core={"cache_bits": 4})
    assert config.core is not None
    assert config.core.cache_bits == 4
