"""Llamas in GGUF files: one file with the config, the tensors and the tokenizer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from einloom.models.importer.gguf_file import GgufFile, open_gguf
from einloom.models.importer.gguf_tokenizer import gguf_tokenizer
from einloom.models.importer.huggingface import EMBEDDING, HEAD, LlamaModel, check_vocabulary, tensor_shapes
from einloom.models.importer.llama_config import LlamaConfig, explain
from einloom.spec.errors import ConfigError, InputError

Floats = npt.NDArray[np.float32]
KEYS = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "rope_theta": "rope.freq_base",
    "rope_type": "rope.scaling.type",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
}
"""Keys of config.json, and what they are called behind the architecture's name."""
OUTER = {EMBEDDING: "token_embd.weight", "model.norm.weight": "output_norm.weight", HEAD: "output.weight"}
INNER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Names of tensors in Hugging Face's folders, and in GGUF files."""
HARMLESS = ("rope_freqs.weight",)
SHOWN_NAMES = 4


def load_gguf(path: Path) -> LlamaModel:
    """The Llama in the file at `path`; InputError with the key or tensor when something is wrong with it."""
    file = open_gguf(path)
    config = _config(file)
    tensors = {name: _tensor(file, config, name, shape) for name, shape in tensor_shapes(config)}
    known = {_gguf_name(name) for name in tensors} | set(HARMLESS)
    unused = [name for name in file.tensors if name not in known]
    if unused:
        more = f" and {len(unused) - SHOWN_NAMES} more" if len(unused) > SHOWN_NAMES else ""
        raise InputError(
            f"{path}: {', '.join(unused[:SHOWN_NAMES])}{more}: a Llama has no such tensors, and without them this "
            "would be another model"
        )
    try:
        tokenizer = gguf_tokenizer(file.metadata)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    template = file.metadata.get("tokenizer.chat_template")
    tokenizer = check_vocabulary(path, tokenizer, config.vocab_size)
    return LlamaModel(config, tensors, tokenizer, template if isinstance(template, str) else "")


def _config(file: GgufFile) -> LlamaConfig:
    """The config that the metadata hold; ConfigError with every problem and its key otherwise."""
    metadata, names = file.metadata, dict[str, str]()
    architecture = metadata.get("general.architecture")
    tree: dict[str, Any] = {"model_type": architecture}
    for key, place in KEYS.items():
        names[key] = f"{architecture}.{place}"
        if names[key] in metadata:
            value = metadata[names[key]]
            # A float32, which stands for the shortest number that rounds to it.
            tree[key] = float(str(np.float32(value))) if isinstance(value, float) else value
    if tree.get("rope_type") == "none":
        del tree["rope_type"]
    _set_tokens(tree, metadata)
    tree["vocab_size"] = file.shape(OUTER[EMBEDDING])[0] if OUTER[EMBEDDING] in file.tensors else None
    tree["tie_word_embeddings"] = OUTER[HEAD] not in file.tensors
    try:
        return LlamaConfig.model_validate(tree)
    except ValidationError as error:
        named = {"model_type": "general.architecture", "vocab_size": OUTER[EMBEDDING], **names}
        raise ConfigError(file.path, [explain(e, named) for e in error.errors()]) from error


def _set_tokens(tree: dict[str, Any], metadata: Mapping[str, Any]) -> None:
    ends = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    tree["bos_token_id"] = metadata.get("tokenizer.ggml.bos_token_id")
    tree["eos_token_id"] = tuple(dict.fromkeys(end for end in ends if end is not None))


def _tensor(file: GgufFile, config: LlamaConfig, name: str, shape: tuple[int, ...]) -> Floats:
    stored = _gguf_name(name)
    if stored not in file.tensors:
        raise InputError(f"{file.path}: tensor {stored} is missing, but the metadata call for it")
    if file.shape(stored) != shape:
        raise InputError(
            f"{file.path}: tensor {stored} has the shape {file.shape(stored)}, but the metadata call for {shape}"
        )
    values = file.read_float32(stored)
    return _halves(values, config.head_dim) if name.endswith(("q_proj.weight", "k_proj.weight")) else values


def _halves(rows: Floats, head: int) -> Floats:
    """Rows of heads in which RoPE rotates neighbours, in the order in which it rotates halves."""
    pairs = rows.reshape(-1, head // 2, 2, rows.shape[-1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


def _gguf_name(name: str) -> str:
    if name in OUTER:
        return OUTER[name]
    _, _, layer, inner = name.split(".", 3)
    return f"blk.{layer}.{INNER[inner.removesuffix('.weight')]}.weight"
