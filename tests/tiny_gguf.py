"""A small Llama as a GGUF file, written with the reference library."""

from pathlib import Path

import numpy as np
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map
from gguf.quants import quantize

from einloom.models.decoder_model import DecoderModel
from tests.tiny_llama import CONFIG

MOST_LAYERS = 8


def gguf_name(name: str, architecture: str = "llama") -> str:
    """The name of a tensor in a GGUF file, as the reference library has it."""
    names = get_tensor_name_map(MODEL_ARCH[architecture.upper()], MOST_LAYERS)
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert found is not None, name
    return str(found)


def write_gguf(
    path: Path,
    model: DecoderModel,
    type: GGMLQuantizationType,
    tokens: list[str],
    architecture: str = "llama",
    divisors: np.ndarray | None = None,
) -> Path:
    """Write the model with matrices of `type` and a byte-level vocabulary; returns the path.

    `divisors` are those of RoPE's frequencies.
    """
    graph, attention, norm = model.graph, model.graph.attention, model.graph.norm
    assert norm
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(len(graph.layers))
    writer.add_context_length(graph.context)
    writer.add_embedding_length(graph.hidden)
    writer.add_feed_forward_length(graph.inner)
    writer.add_head_count(attention.heads)
    writer.add_head_count_kv(attention.groups)
    writer.add_key_length(attention.size)
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    writer.add_layer_norm_rms_eps(norm.epsilon)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_merges([])
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_bos_token_id(len(tokens) - 1)
    writer.add_add_bos_token(True)
    for name, tensor in model.tensors.items():
        stored = tensor
        if architecture == "llama" and name.endswith((
            "q_proj.weight",
            "k_proj.weight",
        )):  # rows of neighbours that RoPE rotates
            halves = tensor.reshape(-1, 2, attention.size // 2, tensor.shape[-1])
            stored = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(tensor.shape)
        if tensor.ndim == 2 and type != GGMLQuantizationType.F32:
            writer.add_tensor(gguf_name(name, architecture), quantize(stored, type), raw_dtype=type)
        else:
            writer.add_tensor(gguf_name(name, architecture), stored)
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", divisors.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
