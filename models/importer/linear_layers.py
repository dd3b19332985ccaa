"""Finds the weights of linear layers among a model's tensors, by the names that model libraries give them."""

import json
import re
from collections.abc import Sequence

from einloom.models.importer.model_weights import ModelWeights
from einloom.spec.errors import InputError

WEIGHT = ".weight"
HEAD = "lm_head.weight"
EMBEDDINGS = ("embed_tokens.weight", "wte.weight")
# Tables that are looked up, and norms. Not everything with "embed" in its name is a table: GPT-NeoX's `embed_out` and
# ALBERT's `embedding_hidden_mapping_in` are multiplied with.
NOT_LINEAR = re.compile(
    r"(emb|embed|embedding|embeddings)$|^embed_(tokens|positions|in)$|^(wte|wpe|shared|relative_attention_bias)$"
    r"|norm|^ln_",
    re.IGNORECASE,
)


def linear_layers(model: ModelWeights) -> list[str]:
    """Names of the weights [outputs, inputs] of linear layers, a tied head's too; InputError when there are none."""
    head = tied_head(model)
    found = [name for name in model.files if name == head or _is_linear(model, name)]
    if not found:
        raise InputError(f"{model.path}: no linear layers: no floating-point matrix in it is named *{WEIGHT}")
    return found


def left_out(model: ModelWeights, layers: Sequence[str]) -> list[str]:
    """Names of the model's other matrices, which keep their numbers: tables, and matrices without a weight's name."""
    return [name for name in model.files if name not in layers and len(model.entry(name).shape) >= 2]


def tied_head(model: ModelWeights) -> str | None:
    """The embedding table of a model whose head is the same matrix, as its config.json says; None without one."""
    try:
        config = json.loads((model.path / "config.json").read_text()) if model.path.is_dir() else {}
    except (OSError, ValueError, RecursionError):
        return None
    tied = isinstance(config, dict) and config.get("tie_word_embeddings") is True
    found = [name for name in model.files if name.endswith(EMBEDDINGS)]
    return found[0] if tied and len(found) == 1 and HEAD not in model.files else None


def _is_linear(model: ModelWeights, name: str) -> bool:
    entry = model.entry(name)
    module = name.removesuffix(WEIGHT).rpartition(".")[2]
    is_matrix = name.endswith(WEIGHT) and len(entry.shape) == 2 and 0 not in entry.shape
    return is_matrix and "F" in entry.dtype and NOT_LINEAR.search(module) is None
