"""A small Llama as a GGUF file, written with the reference library."""

from pathlib import Path

import numpy as np
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map
from gguf.quants import quantize

from einloom.models.importer.huggingface import LlamaModel

MOST_LAYERS = 8
NAMES = get_tensor_name_map(MODEL_ARCH.LLAMA, MOST_LAYERS)


def gguf_name(name: str) -> str:
    """The name of a tensor in a GGUF file, as the reference library has it."""
    found = NAMES.get_name(name, try_suffixes=(".weight",))
    assert found is not None, name
    return str(found)


def write_gguf(path: Path, model: LlamaModel, type: GGMLQuantizationType, tokens: list[str]) -> Path:
    """Write the model with matrices of `type` and a byte-level vocabulary; returns the path."""
    c = model.config
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_key_length(c.head_dim)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_merges([])
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_bos_token_id(len(tokens) - 1)
    writer.add_add_bos_token(True)
    for name, tensor in model.tensors.items():
        stored = tensor
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # rows of neighbours that RoPE rotates
            halves = tensor.reshape(-1, 2, c.head_dim // 2, tensor.shape[-1])
            stored = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(tensor.shape)
        if tensor.ndim == 2 and type != GGMLQuantizationType.F32:
            writer.add_tensor(gguf_name(name), quantize(stored, type), raw_dtype=type)
        else:
            writer.add_tensor(gguf_name(name), stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
