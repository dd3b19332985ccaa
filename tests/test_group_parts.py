"""Query heads that share keys, on cores whose attention is narrower than their group."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

from einloom.mapping.codegen.group_parts import group_parts
from einloom.models.decoder_model import DecoderModel
from tests.cores import core_manifest
from tests.properties import given
from tests.small_models import compiled, golden_decoder, small_llama

TEXT = np.random.default_rng(2).integers(0, 60, 11).tolist()


@given(group=st.integers(1, 64), columns=st.integers(1, 64))
def test_parts_are_the_group_in_order_and_fit(group: int, columns: int) -> None:
    parts = group_parts(group, columns)
    assert [head for part in parts for head in range(part.first, part.first + part.size)] == list(range(group))
    assert max(part.size for part in parts) == parts[-1].size <= columns
    assert len(parts) == -(-group // columns)


def logits(model: DecoderModel, **core: dict[str, object]) -> npt.NDArray[np.float32]:
    """Those of TEXT, seven tokens at once and then one by one."""
    manifest = core_manifest(**core)
    decoder = golden_decoder(compiled(model, manifest), manifest)
    return np.concatenate([decoder.step(TEXT[:7]), *(decoder.step([token]) for token in TEXT[7:])])


@pytest.mark.parametrize("columns", [1, 3, 4])
@pytest.mark.parametrize(
    "core",
    [
        {},
        {"cache_memory": "channels", "attention_lanes": 2},
        {"cache_scales": "token"},
    ],
    ids=["one engine", "two lanes", "scales of tokens"],
)
def test_narrow_attention_finds_what_wide_attention_finds(
    core: dict[str, object], columns: int, tmp_path: Path
) -> None:
    """In every bit: the five or six heads of a group are computed one by one in any case."""
    group = 6 if columns % 2 == 0 else 5
    model = small_llama(tmp_path / "model", num_attention_heads=3 * group, num_key_value_heads=3, head_dim=16)
    sections = {"memory": {"channels": 2}, "core": {"lanes": 8, "query_words": 512, **core}}
    bits = 16 if core.get("cache_scales") == "token" else 8
    wide, narrow = ({"rows": 8, "columns": n, "input_bits": bits} for n in (16, columns))
    assert np.array_equal(logits(model, attention=narrow, **sections), logits(model, attention=wide, **sections))
