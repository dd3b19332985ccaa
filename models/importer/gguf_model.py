"""Models in GGUF files: one file with the config, the tensors and the tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from einloom.models.decoder_graph import Attention, Branch, DecoderGraph
from einloom.models.decoder_model import DecoderModel
from einloom.models.family.keys import DecoderKeys
from einloom.models.family.problems import config_error
from einloom.models.family.tensor_names import TensorNames
from einloom.models.importer.canonical import Storage, describe_unused
from einloom.models.importer.gguf_file import GgufFile, open_gguf
from einloom.models.importer.gguf_tokenizer import gguf_tokenizer
from einloom.models.importer.huggingface import check_vocabulary
from einloom.models.importer.registry import family_classes
from einloom.spec.errors import ConfigError, InputError, Problem
from einloom.spec.files import file_digest

Floats = npt.NDArray[np.float32]
ARCHITECTURE = "general.architecture"
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
    "factor": "rope.scaling.factor",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "sliding_window": "attention.sliding_window",
}
"""Keys of config.json, and what they are called behind the architecture's name."""
NAMES = TensorNames(
    modules={
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
        "attention_post_norm": "post_attention_norm",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "mlp_post_norm": "post_ffw_norm",
    },
    layer="blk.{n}.",
)
"""What GGUF files call canonical modules, whatever the family. Gemma's norms have their 1 added already."""
EMBEDDING, HEAD = "token_embd.weight", "output.weight"
ROPE_DIVISORS = "rope_freqs.weight"
"""Divisors of RoPE's frequencies, one for each pair: what Llama 3's scaling comes to."""
USUAL_HEAD = 256
"""Of Gemma 2 and 3, whose scores are scaled by 1 / sqrt(256); their largest models scale by other sizes."""
SHOWN_NAMES = 4


@dataclass(frozen=True)
class _Files:
    """The tensors of a file."""

    file: GgufFile

    def __contains__(self, name: str) -> bool:
        return name in self.file.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return self.file.shape(name)

    def read_float32(self, name: str) -> Floats:
        return self.file.read_float32(name)

    def error(self, name: str, problem: str) -> InputError:
        return InputError(f"{self.file.path}: tensor {name} {problem.format(config='the metadata call')}")

    def digest(self) -> str:
        return file_digest(self.file.path)


def load_gguf(path: Path) -> DecoderModel:
    """The model in the file at `path`; InputError with the key or tensor when something is wrong with it."""
    file = open_gguf(path)
    keys = _keys(file)
    graph = _with_rope_divisors(file, keys.graph())
    storage = Storage(NAMES, "", _neighbours(keys.head_dim) if keys.gguf_neighbours else tuple(range(keys.head_dim)))
    tensors, used = storage.read(_Files(file), graph)
    unused = [name for name in file.tensors if name not in used and name != ROPE_DIVISORS]
    if unused:
        raise InputError(
            f"{path}: {describe_unused(unused, SHOWN_NAMES)}: a model of the architecture {keys.gguf} has no such "
            "tensors, and without them this would be another model"
        )
    try:
        tokenizer = gguf_tokenizer(file.metadata)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    template = file.metadata.get("tokenizer.chat_template")
    tokenizer = check_vocabulary(path, tokenizer, graph.vocab)
    template = template if isinstance(template, str) else ""
    return DecoderModel(graph, tensors, tokenizer, template, keys.bos_token_id, keys.eos_token_id)


def _keys(file: GgufFile) -> DecoderKeys:
    """The keys that the metadata hold; ConfigError with every problem and its key otherwise."""
    metadata, names = file.metadata, dict[str, str]()
    architecture = metadata.get(ARCHITECTURE)
    known = {family.gguf: (kind, family) for kind, family in family_classes().items() if family.gguf}
    if not isinstance(architecture, str) or architecture not in known:
        must = f"must be one of {', '.join(map(repr, known))}, not {architecture!r}"
        raise ConfigError(file.path, [Problem(must, ARCHITECTURE)])
    kind, family = known[architecture]
    tree: dict[str, Any] = {"model_type": kind}
    for key, place in KEYS.items():
        names[key] = f"{architecture}.{place}"
        if names[key] in metadata:
            value = metadata[names[key]]
            # A float32, which stands for the shortest number that rounds to it.
            tree[key] = float(str(np.float32(value))) if isinstance(value, float) else value
    tree["rope_scaling"] = _rope_scaling(file, names, tree.pop("rope_type", "none"), tree.pop("factor", None))
    if "query_pre_attn_scalar" in family.model_fields and tree.get("head_dim") != USUAL_HEAD:
        must = (
            f"must be {USUAL_HEAD}, not {tree.get('head_dim')!r}: for other heads the file lacks the factor of scores"
        )
        raise ConfigError(file.path, [Problem(must, names["head_dim"])])
    _set_tokens(tree, metadata)
    tree["vocab_size"] = file.shape(EMBEDDING)[0] if EMBEDDING in file.tensors else None
    tree["tie_word_embeddings"] = HEAD not in file.tensors
    try:
        return family.model_validate(tree)
    except ValidationError as error:
        raise config_error(file.path, error, {"vocab_size": EMBEDDING, **names}) from error


def _set_tokens(tree: dict[str, Any], metadata: Mapping[str, Any]) -> None:
    ends = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    tree["bos_token_id"] = metadata.get("tokenizer.ggml.bos_token_id")
    tree["eos_token_id"] = tuple(dict.fromkeys(end for end in ends if end is not None))


def _rope_scaling(file: GgufFile, names: Mapping[str, str], kind: Any, factor: Any) -> dict[str, Any]:
    """RoPE's scaling as config.json has it. What YaRN's files mean differs from it in ways that nobody checked here."""
    if kind not in ("none", "linear"):
        raise ConfigError(file.path, [Problem(f"must be 'none' or 'linear', not {kind!r}", names["rope_type"])])
    return {} if kind == "none" else {"rope_type": kind, "factor": factor}


def _with_rope_divisors(file: GgufFile, graph: DecoderGraph) -> DecoderGraph:
    """The graph with the frequencies of RoPE divided by what the file holds, if it holds that."""
    if ROPE_DIVISORS not in file.tensors:
        return graph
    divisors = file.read_float32(ROPE_DIVISORS).astype(np.float64)
    rope = graph.attention.rope
    if rope is None or divisors.shape != (len(rope.frequencies),) or (divisors <= 0).any():
        raise InputError(
            f"{file.path}: tensor {ROPE_DIVISORS} must have a number above 0 for each pair that RoPE turns"
        )
    turned = replace(rope, frequencies=tuple((np.array(rope.frequencies) / divisors).tolist()))

    def changed(branch: Branch) -> Branch:
        operation = branch.operation
        return (
            replace(branch, operation=replace(operation, rope=turned)) if isinstance(operation, Attention) else branch
        )

    layers = (replace(layer, branches=tuple(map(changed, layer.branches))) for layer in graph.layers)
    return replace(graph, layers=tuple(layers))


def _neighbours(head: int) -> tuple[int, ...]:
    """The order of a head's elements that makes halves of the neighbours that RoPE rotates."""
    return (*range(0, head, 2), *range(1, head, 2))
