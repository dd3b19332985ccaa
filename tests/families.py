"""A tiny model of each family: its keys of config.json, with odd sizes, and its tensors by its files' names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from einloom.models.family.keys import DecoderKeys
from einloom.models.importer.registry import family_class
from tests.tiny_llama import byte_tokenizer

Floats = npt.NDArray[np.float32]
SEED = 7
SPREAD = 0.2
"""Of random weights, and of the weights of norms around 1."""
SIZES = {
    "vocab_size": 259,
    "hidden_size": 60,
    "intermediate_size": 88,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 20,
    "max_position_embeddings": 48,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
WINDOW = 9
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0}
HERE: dict[str, Any] = {"rope_theta": 10000.0, "original_max_position_embeddings": 24}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "llama, linear RoPE": {"model_type": "llama", "rope_parameters": {"rope_type": "linear", "factor": 2.0, **HERE}},
    "llama, llama3 RoPE": {"model_type": "llama", "rope_parameters": {**LLAMA3, **HERE}},
    "llama, YaRN": {"model_type": "llama", "rope_parameters": {**YARN, **HERE}},
    "llama, dynamic RoPE": {"model_type": "llama", "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, **HERE}},
    "mistral": {"model_type": "mistral", "sliding_window": WINDOW},
    "qwen2": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "qwen3": {"model_type": "qwen3", "attention_bias": True},
    "smollm3": {"model_type": "smollm3", "no_rope_layers": [1, 0], "tie_word_embeddings": True},
    "phi3": {"model_type": "phi3", "partial_rotary_factor": 0.6, "sliding_window": WINDOW},
    "granite": {
        "model_type": "granite",
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.4,
        "attention_multiplier": 0.1,
        "logits_scaling": 2.5,
    },
    "olmo2": {"model_type": "olmo2"},
    "gemma": {"model_type": "gemma", "tie_word_embeddings": True},
    "gemma2": {"model_type": "gemma2", "sliding_window": WINDOW, "query_pre_attn_scalar": 24},
    "gemma3": {
        "model_type": "gemma3_text",
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"],
        "final_logit_softcapping": 20.0,
    },
    "gpt2": {"model_type": "gpt2", "num_attention_heads": 3, "n_inner": 88, "tie_word_embeddings": True},
    "opt": {"model_type": "opt", "ffn_dim": 88, "word_embed_proj_dim": 60, "num_attention_heads": 3},
    "opt, GELU": {
        "model_type": "opt",
        "ffn_dim": 88,
        "word_embed_proj_dim": 60,
        "num_attention_heads": 2,
        "activation_function": "gelu",
    },
    "bitnet": {"model_type": "bitnet", "num_attention_heads": 3, "num_key_value_heads": 3},
}


def keys_of(name: str) -> dict[str, Any]:
    """The config.json of a family's tiny model."""
    return SIZES | FAMILIES[name]


def write_family(folder: Path, name: str, **changes: Any) -> tuple[Path, dict[str, Floats]]:
    """Write a tiny model of random weights into `folder`; returns it, and the tensors under their canonical names."""
    folder.mkdir(exist_ok=True)
    config = keys_of(name) | changes
    (folder / "config.json").write_text(json.dumps(config))
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    family = family_class(folder, config["model_type"])
    keys = family.model_validate(config)
    rng = np.random.default_rng(SEED)
    tensors = dict[str, Floats]()
    for tensor in keys.graph().tensors():
        spread = rng.normal(0, SPREAD, tensor.shape)
        is_gamma = len(tensor.shape) == 1 and tensor.name.endswith(".weight")
        tensors[tensor.name] = (1 + spread if is_gamma else spread).astype(np.float32)
    save_file(as_stored(tensors, keys), folder / "model.safetensors")
    return folder, tensors


def as_stored(tensors: Mapping[str, Floats], keys: DecoderKeys) -> dict[str, Floats]:
    """The tensors as the family's files have them: the way of the importer, backwards."""
    names, graph, files = keys.names, keys.graph(), dict[str, list[Floats]]()
    for name, values in tensors.items():
        module = name.rpartition(".")[0]
        x = values
        if module.endswith(("q_proj", "k_proj", "q_norm", "k_norm")):
            heads = x.reshape(-1, keys.head_dim, *x.shape[1:])
            back = np.empty_like(heads)
            back[:, list(keys.head_order)] = heads
            x = back.reshape(x.shape)
        if "norm" in module and name.endswith(".weight"):
            x = x - np.float32(names.norm_offset)
        if name == graph.embedding.positions:
            x = np.concatenate([np.full((names.position_offset, x.shape[1]), 9, np.float32), x])
        prefix = "" if name == graph.head.linear.weight and not graph.tied else names.prefixes[0]
        files.setdefault(prefix + names.stored(name), []).append(x)
    transposed = {n for n, parts in files.items() if names.transposed and parts[0].ndim == 2 and ".h." in n}
    whole = {name: np.concatenate(parts) for name, parts in files.items()}
    return {n: np.ascontiguousarray(x.T if n in transposed else x) for n, x in whole.items()}
