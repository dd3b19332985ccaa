"""Which tensors of a model are the weights of linear layers, by the names that model libraries give them."""

import re

from einloom.models.importer.model_weights import ModelWeights
from einloom.spec.errors import InputError

WEIGHT = ".weight"
# Tables that are looked up, and norms. Not everything with "embed" in its name is a table: GPT-NeoX's `embed_out` and
# ALBERT's `embedding_hidden_mapping_in` are multiplied with.
NOT_LINEAR = re.compile(
    r"(emb|embed|embedding|embeddings)$|^embed_(tokens|positions|in)$|^(wte|wpe|shared|relative_attention_bias)$"
    r"|norm|^ln_",
    re.IGNORECASE,
)


def linear_layers(model: ModelWeights) -> list[str]:
    """Names of the model's linear layers' weights [outputs, inputs]; InputError when there are none."""
    found = [name for name in model.files if _is_linear(model, name)]
    if not found:
        raise InputError(f"{model.path}: no linear layers: no floating-point matrix in it is named *{WEIGHT}")
    return found


def _is_linear(model: ModelWeights, name: str) -> bool:
    entry = model.entry(name)
    module = name.removesuffix(WEIGHT).rpartition(".")[2]
    is_matrix = name.endswith(WEIGHT) and len(entry.shape) == 2 and 0 not in entry.shape
    return is_matrix and "F" in entry.dtype and NOT_LINEAR.search(module) is None
