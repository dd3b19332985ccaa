"""models/calibrate.py: scales of keys and values hold for texts that calibration never saw."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tokenizers import processors

from einloom.models.calibrate import calibrate
from einloom.models.calibration_texts import self_texts
from einloom.models.decoder_graph import Scores
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.float_functions import rotate
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears, Floats
from tests.tiny_llama import write_tiny_llama

BOS = 7
LIMIT = 127
OUTLIER = 20.0


def with_outlying_beginning(folder: Path, **changes: object) -> DecoderModel:
    """A model whose keys and values are OUTLIER times larger after the token BOS than after all others."""
    model = load_folder(write_tiny_llama(folder, **changes))
    tensors = {name: tensor.copy() for name, tensor in model.tensors.items()}
    tensors[model.graph.embedding.weight][:, 0] = 0
    tensors[model.graph.embedding.weight][BOS] = 0
    tensors[model.graph.embedding.weight][BOS, 0] = 1
    for name in ("k_proj", "v_proj"):
        tensors[f"model.layers.0.self_attn.{name}.weight"][:, 0] *= OUTLIER
    return dataclasses.replace(model, tensors=tensors)


def largest_codes(model: DecoderModel, text: list[int], seed: int = 0) -> float:
    """The largest key or value of a text, in steps of its code."""
    scales = calibrate(model, 127, seed=seed)
    found: list[float] = []

    def watch(queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        layer = len(found) % len(model.graph.layers)
        of_keys, of_values = np.abs(keys / scales[layer].keys), np.abs(values / scales[layer].values)
        found.append(float(max(of_keys.max(), of_values.max())))
        return float_attention(queries, keys, values, scores)

    Decoder(model, FloatLinears(model.linears), watch).step(text)
    return max(found)


def test_the_beginning_of_texts_fits_whether_the_config_or_the_tokenizer_names_it(tmp_path: Path) -> None:
    text = [BOS, 1, 2, 3]
    by_config = with_outlying_beginning(tmp_path / "a", bos_token_id=BOS)
    assert largest_codes(by_config, text) <= LIMIT
    unnamed = with_outlying_beginning(tmp_path / "b")
    by_chance = next(seed for seed in range(100) if BOS not in self_texts(unnamed, seed=seed))
    assert largest_codes(unnamed, text, by_chance) > 3 * LIMIT  # so the model is a hard one
    letter = unnamed.tokenizer.id_to_token(BOS)
    unnamed.tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{letter} $A", special_tokens=[(letter, BOS)]
    )
    assert largest_codes(unnamed, text, by_chance) <= LIMIT


@pytest.mark.parametrize("positions", [1 << 10, 1 << 17])
def test_rotated_keys_fit_at_every_position(tmp_path: Path, positions: int) -> None:
    model = load_folder(write_tiny_llama(tmp_path))
    weight = model.tensors["model.layers.0.self_attn.k_proj.weight"]
    scale = calibrate(model, 8)[0].keys
    x = model.tensors[model.graph.embedding.weight][:64]
    x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True)) * model.tensors["model.layers.0.input_layernorm.weight"]
    keys = (x @ weight.T).reshape(len(x), *scale.shape)
    pairs = np.hypot(*np.split(keys / scale, 2, axis=-1))
    seen = keys[(pairs <= LIMIT).all(axis=(1, 2))]
    assert len(seen)
    rope = model.graph.attention.rope
    assert rope
    for key in seen:
        turned = rotate(np.repeat(key[None], 64, 0), np.linspace(0, positions, 64).astype(np.int64), rope)
        assert np.abs(turned / scale).max() <= LIMIT * 1.0001
