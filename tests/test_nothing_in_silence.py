"""What a file holds is used, named, or refused; nothing of it is skipped in silence."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

import einloom
from einloom.mapping.compress.fidelity import measure
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.models.importer.huggingface import load_folder
from einloom.models.importer.safetensors_file import open_safetensors
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from tests.tiny_llama import write_tiny_llama


def with_tensors(folder: Path, **config: object) -> tuple[Path, dict[str, np.ndarray]]:
    """A tiny Llama, and its tensors to change."""
    model = write_tiny_llama(folder, **config)
    return model, load_file(model / "model.safetensors")


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.0.post_feedforward_layernorm.weight",
        "model.layers.0.mlp.experts.0.up_proj.weight",
        "model.layers.0.mlp.up_proj.qweight",
        "model.layers.99.mlp.up_proj.weight",
        "vision_tower.patch.weight",
    ],
)
def test_a_tensor_that_nobody_would_use_is_refused(tmp_path: Path, name: str) -> None:
    """Adapters, extra norms, experts, packed weights, surplus layers, another tower."""
    model, tensors = with_tensors(tmp_path / "model")
    save_file(tensors | {name: np.ones((4, 4), np.float32)}, model / "model.safetensors")
    with pytest.raises(InputError, match=rf"{name}: a llama with this config.json has no such tensors"):
        load_folder(model)


def test_many_such_tensors_are_counted(tmp_path: Path) -> None:
    model, tensors = with_tensors(tmp_path / "model")
    save_file(tensors | {f"extra.{n}": np.ones(1, np.float32) for n in range(9)}, model / "model.safetensors")
    with pytest.raises(InputError, match=r"extra\.3 and 5 more: a llama with this config.json has no such tensors"):
        load_folder(model)


def test_tables_of_angles_are_harmless(tmp_path: Path) -> None:
    model, tensors = with_tensors(tmp_path / "model")
    angles = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32)}
    save_file(tensors | angles, model / "model.safetensors")
    load_folder(model)


def test_a_head_beside_tied_embeddings_must_be_their_copy(tmp_path: Path) -> None:
    model, tensors = with_tensors(tmp_path / "model", tie_word_embeddings=True)
    embedding = tensors["model.embed_tokens.weight"]
    save_file(tensors | {"lm_head.weight": embedding.copy()}, model / "model.safetensors")
    load_folder(model)
    save_file(tensors | {"lm_head.weight": embedding + 1}, model / "model.safetensors")
    with pytest.raises(InputError, match=r"lm_head\.weight is not the embedding, but config\.json ties the two"):
        load_folder(model)


def test_a_stored_truncation_and_padding_are_not_applied(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(model / "tokenizer.json"))
    assert len(load_folder(model).encode("HELLO WORLD")) == 11


def test_a_file_with_a_tensor_of_an_unknown_type_is_readable_but_for_that(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": np.arange(4, dtype=np.float32), "b": np.ones(4, np.int32)}, path)
    path.write_bytes(path.read_bytes().replace(b'"I32"', b'"Q99"'))
    file = open_safetensors(path)
    assert file.read_float32("a").tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="tensor b: Q99 values cannot be read as weights"):
        file.read_float32("b")


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_is_worse_than_zeros(name: str) -> None:
    weights = np.random.default_rng(3).normal(size=(32, 512)).astype(np.float32)
    tensors = [quantize(weights, FORMATS[name], 128)]
    if FORMATS[name].special_code is None:
        tensors.append(quantize_per_channel(weights, FORMATS[name]))
    assert all(measure(name, weights, tensor).nmse < 1 for tensor in tensors)


def test_quantize_names_what_it_leaves_and_counts_a_tied_head(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "model", tie_word_embeddings=True)
    told = einloom.quantize(model, "int4", group=32).figures()
    assert "model.embed_tokens.weight" in {tensor["name"] for tensor in told["tensors"]}
    assert told["left_out"] == []
    (model / "config.json").write_text(json.dumps({}))
    told = einloom.quantize(model, "int4", group=32).figures()
    assert told["left_out"] == ["model.embed_tokens.weight"]
