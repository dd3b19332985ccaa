"""Hugging Face folders: config.json, safetensors and tokenizer.json, checked before anything uses them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from einloom.models.decoder_graph import DecoderGraph
from einloom.models.decoder_model import DecoderModel
from einloom.models.family.keys import HEAD, DecoderKeys
from einloom.models.importer.canonical import Storage, describe_unused
from einloom.models.importer.fp8 import Fp8Tensors
from einloom.models.importer.grouped_codes import GroupedCodes
from einloom.models.importer.model_weights import ModelWeights, open_model
from einloom.models.importer.registry import load_keys
from einloom.models.importer.stored_tensors import StoredTensors
from einloom.models.importer.ternary import TernaryTensors
from einloom.spec.errors import InputError

Floats = npt.NDArray[np.float32]
HEAD_WEIGHT = f"{HEAD}.weight"
SHOWN_NAMES = 4


def load_folder(folder: Path) -> DecoderModel:
    """The model in `folder`; InputError with the file and the key or tensor when something is wrong with it."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder")
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: has no {name}; a model is config.json, model.safetensors and tokenizer.json")
    keys = load_keys(folder / "config.json")
    graph = keys.graph()
    tensors = _load_tensors(open_model(folder), keys, graph)
    tokenizer = _load_tokenizer(folder / "tokenizer.json", graph.vocab)
    return DecoderModel(graph, tensors, tokenizer, _chat_template(folder), keys.bos_token_id, keys.eos_token_id)


def _chat_template(folder: Path) -> str:
    """The folder's chat template, in a file of its own or in tokenizer_config.json; empty where there is none."""
    own, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    try:
        if own.is_file():
            return own.read_text()
        tree = json.loads(config.read_text()) if config.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{own if own.is_file() else config}: cannot be read: {error}") from error
    template = tree.get("chat_template") if isinstance(tree, dict) else None
    if isinstance(template, list):  # several, by name
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else ""


def _load_tensors(weights: ModelWeights, keys: DecoderKeys, graph: DecoderGraph) -> Mapping[str, Floats]:
    embedding = keys.names.stored(graph.embedding.weight)
    prefix = next((p for p in keys.names.prefixes if p + embedding in weights.files), keys.names.prefixes[0])
    files = _stored_tensors(weights, keys)
    tensors, used = Storage(keys.names, prefix, keys.head_order).read(files, graph)
    used = {part for name in used for part in files.parts(name)}
    _refuse_unused(weights, keys, graph, used, tensors[graph.embedding.weight])
    return tensors


def _stored_tensors(weights: ModelWeights, keys: DecoderKeys) -> StoredTensors:
    """The tensors of the files, read as config.json says that they are stored."""
    if ternary := keys.ternary():
        return TernaryTensors(weights, ternary)
    storage = keys.storage()
    if storage is None:
        return StoredTensors(weights)
    return (Fp8Tensors if storage.quant_method == "fp8" else GroupedCodes)(weights, storage)


def _refuse_unused(
    weights: ModelWeights, keys: DecoderKeys, graph: DecoderGraph, used: set[str], embedding: Floats
) -> None:
    """InputError when the files hold tensors that this decoder would leave out, so that it would compute another model.

    Harmless are those that the family lists, biases of zeros, and a head beside tied embeddings that is their copy.
    """
    harmless = re.compile(keys.names.ignored)
    unused = [name for name in weights.files if name not in used and not harmless.search(name)]
    unused = [name for name in unused if not name.endswith(".bias") or weights.read_float32(name).any()]
    if graph.tied and HEAD_WEIGHT in unused:
        if np.array_equal(weights.read_float32(HEAD_WEIGHT), embedding):
            unused.remove(HEAD_WEIGHT)
        else:
            raise InputError(
                f"{weights.path}: tensor {HEAD_WEIGHT} is not the embedding, but config.json ties the two: set "
                "tie_word_embeddings to false there"
            )
    if unused:
        raise InputError(
            f"{weights.path}: {describe_unused(unused, SHOWN_NAMES)}: a {keys.model_type} with this config.json has no "
            "such tensors, and without them this would be another model: merge adapters, undo quantization, or let "
            "config.json count all layers"
        )


def _load_tokenizer(path: Path, vocab_size: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more specific
        raise InputError(f"{path}: not a tokenizer: {error}") from error
    # What the file keeps of its training: a prompt is taken whole, and alone.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return check_vocabulary(path, tokenizer, vocab_size)


def check_vocabulary(path: Path, tokenizer: Tokenizer, vocab_size: int) -> Tokenizer:
    """The tokenizer of the file at `path`; InputError when it makes tokens that the model hasn't."""
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if not 0 <= largest < vocab_size:
        raise InputError(f"{path}: has token {largest}, but vocab_size is {vocab_size}")
    return tokenizer
