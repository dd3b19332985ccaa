"""models/importer/huggingface.py and registry.py: what a model folder may be, and what is said when it isn't."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models

from einloom.models.importer.huggingface import load_folder
from einloom.models.importer.registry import family_classes, load_keys
from einloom.spec.errors import InputError
from tests.tiny_llama import CONFIG, write_tiny_llama

PLAIN = "einloom computes no other variant"
EMBEDDING = "model.embed_tokens.weight"
ACTIVATIONS = "'silu', 'gelu', 'gelu_new', 'gelu_pytorch_tanh', 'relu' or 'relu2'"
SCALINGS = "'default', 'linear', 'dynamic', 'llama3' or 'yarn'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_llama(tmp_path / "model")


def config_file(folder: Path, **changes: Any) -> Path:
    """A config.json with `changes`; a key that is set to ... is left out."""
    path = folder / "config.json"
    path.write_text(json.dumps({key: value for key, value in (CONFIG | changes).items() if value is not ...}))
    return path


def change_tensors(folder: Path, **changes: Any) -> None:
    """Replace tensors, named with __ for dots; ... removes one."""
    tensors = load_file(folder / "model.safetensors")
    tensors |= {name.replace("__", "."): value for name, value in changes.items()}
    save_file({n: t for n, t in tensors.items() if t is not ...}, folder / "model.safetensors")


def test_a_model_is_read_as_float32(folder: Path) -> None:
    halves = {n: t.astype(np.float16) for n, t in load_file(folder / "model.safetensors").items()}
    save_file(halves, folder / "model.safetensors")
    model = load_folder(folder)
    assert model.graph.attention.size == 16
    assert all(t.dtype == np.float32 and (t == halves[n]).all() for n, t in model.tensors.items())
    assert model.tokenizer.decode(model.encode("To be, or not: é!")) == "To be, or not: é!"


def test_the_head_is_a_linear_layer(tmp_path: Path) -> None:
    tied = load_folder(write_tiny_llama(tmp_path / "tied"))
    assert tied.graph.head.linear.weight == EMBEDDING
    assert len(tied.linears) == 2 * 7 + 1
    untied = load_folder(write_tiny_llama(tmp_path / "untied", tie_word_embeddings=False))
    assert untied.graph.head.linear.weight == "lm_head.weight"
    assert untied.linears.keys() == tied.linears.keys() - {EMBEDDING} | {"lm_head.weight"}


def test_defaults_and_both_spellings_of_rope(tmp_path: Path) -> None:
    sparse = config_file(tmp_path, num_key_value_heads=None, rope_theta=..., rms_norm_eps=..., hidden_act=...)
    config = load_keys(sparse)
    assert (config.num_key_value_heads, config.head_dim) == (4, 16)
    assert (config.rope.rope_theta, config.rms_norm_eps, config.eos_token_id) == (10000.0, 1e-6, ())
    new = {"rope_theta": 5e5, "rope_type": "default"}
    assert load_keys(config_file(tmp_path, rope_theta=..., rope_parameters=new)).rope.rope_theta == 5e5
    assert load_keys(config_file(tmp_path, head_dim=8, eos_token_id=3)).eos_token_id == (3,)
    assert load_keys(config_file(tmp_path, head_dim=8, eos_token_id=[3, 4])).eos_token_id == (3, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "rwkv"}, f"model_type: must be one of {', '.join(map(repr, family_classes()))}, not 'rwkv'"),
        ({"hidden_act": "tanh"}, f"hidden_act: must be {ACTIVATIONS}, not 'tanh': {PLAIN}"),
        ({"rope_scaling": {"type": "longrope"}}, f"rope_type: must be {SCALINGS}, not 'longrope': {PLAIN}"),
        ({"rope_scaling": {"type": "linear"}}, "RoPE scaling of the type 'linear' needs factor"),
        (
            {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}},
            (
                "RoPE scaling of the type 'llama3' needs low_freq_factor, high_freq_factor, "
                "original_max_position_embeddings"
            ),
        ),
        ({"rope_parameters": 7}, "rope_parameters must be an object, not 7"),
        ({"hidden_size": ...}, "hidden_size: is required"),
        ({"num_attention_heads": None}, "num_attention_heads: is required"),
        ({"vocab_size": 0}, "vocab_size: Input should be greater than or equal to 1 (given: 0)"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers: Input should be a valid integer (given: '2')"),
        ({"rms_norm_eps": -1}, "rms_norm_eps: Input should be greater than 0 (given: -1)"),
        ({"rope_theta": float("nan")}, "rope_theta: Input should be a finite number (given: nan)"),
        ({"hidden_size": 66}, "hidden_size 66 is no multiple of num_attention_heads 4: give head_dim"),
        ({"head_dim": 7}, "head_dim must be even, because RoPE rotates pairs, not 7"),
        ({"num_key_value_heads": 3}, "num_attention_heads 4 must be a multiple of num_key_value_heads, 3"),
    ],
)
def test_config_errors(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = config_file(tmp_path, **changes)
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}$"):
        load_keys(path)


def test_all_config_errors_at_once(tmp_path: Path) -> None:
    path = config_file(tmp_path, vocab_size=..., hidden_act="tanh")
    with pytest.raises(InputError) as error:
        load_keys(path)
    assert [line.split(": ")[1] for line in str(error.value).splitlines()] == ["vocab_size", "hidden_act"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "Invalid JSON: "), (b"\xff\xfe", "Invalid JSON: "), (b"[1]", "must be a JSON object")],
)
def test_config_that_is_no_json_object(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}"):
        load_keys(path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_missing_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    rule = f"{folder}: has no {name}; a model is config.json, model.safetensors and tokenizer.json"
    with pytest.raises(InputError, match=f"^{re.escape(rule)}$"):
        load_folder(folder)


def test_missing_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has neither model\.safetensors nor "):
        load_folder(folder)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such model folder$"):
        load_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model__norm__weight": ...},
            "tensor model.norm.weight is missing, but config.json calls for it",
        ),
        (
            {"model__norm__weight": np.ones(63, np.float32)},
            "tensor model.norm.weight has the shape (63,), but config.json calls for (64,)",
        ),
        (
            {"model__layers__0__self_attn__q_proj__bias": np.ones(64, np.float32)},
            (
                "model.layers.0.self_attn.q_proj.bias: a llama with this config.json has no such tensors, and without "
                "them this would be another model: merge adapters, undo quantization, or let config.json count all "
                "layers"
            ),
        ),
    ],
)
def test_tensor_errors(folder: Path, changes: dict[str, Any], message: str) -> None:
    change_tensors(folder, **changes)
    with pytest.raises(InputError, match=f"^{re.escape(f'{folder}: {message}')}$"):
        load_folder(folder)


def test_nan_weights(folder: Path) -> None:
    change_tensors(folder, model__norm__weight=np.full(64, np.nan, np.float32))
    with pytest.raises(InputError, match=r"model\.safetensors: tensor model\.norm\.weight: .*NaN"):
        load_folder(folder)


def test_truncated_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"model\.safetensors: .*truncated"):
        load_folder(folder)


def test_tokenizer_that_is_none(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json: not a tokenizer: "):
        load_folder(folder)


@pytest.mark.parametrize(("vocabulary", "largest"), [({"a": 0, "b": 256}, 256), ({}, -1)])
def test_tokenizer_of_another_model(folder: Path, vocabulary: dict[str, int], largest: int) -> None:
    Tokenizer(models.BPE(vocab=vocabulary, merges=[])).save(str(folder / "tokenizer.json"))
    rule = rf"tokenizer\.json: has token {largest}, but vocab_size is 256$"
    with pytest.raises(InputError, match=rule):
        load_folder(folder)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "the prompt is empty: give at least one character"),
        ("x" * 33, "the prompt has 33 tokens, but the model's context is 32"),
        ("\udcff", "the prompt is not valid Unicode text"),
    ],
)
def test_prompts_that_cannot_be(folder: Path, prompt: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_folder(folder).encode(prompt)
