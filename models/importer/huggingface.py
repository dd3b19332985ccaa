"""Hugging Face Llama folders: config.json, safetensors and tokenizer.json, checked before anything uses them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from einloom.models.chat import Message, render_chat
from einloom.models.importer.llama_config import LlamaConfig, load_llama_config
from einloom.models.importer.model_weights import ModelWeights, open_model
from einloom.spec.errors import InputError

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
HARMLESS = re.compile(r"\.rotary_emb\.(inv_freq|cos_cached|sin_cached)$")
"""Tensors that some files hold and no decoder needs."""
SHOWN_NAMES = 4


@dataclass(frozen=True)
class LlamaModel:
    """A decoder-only Llama.

    Attributes
    ----------
    config : its dimensions.
    tensors : float32 arrays under their Hugging Face names, with the shapes that `tensor_shapes` lists; all finite.
    tokenizer : every token that it makes is below `config.vocab_size`.
    chat_template : Jinja that makes a text of messages; empty for a model without one.
    """

    config: LlamaConfig
    tensors: Mapping[str, npt.NDArray[np.float32]]
    tokenizer: Tokenizer
    chat_template: str = ""

    @property
    def head(self) -> str:
        """Name of the matrix [vocab, hidden] that makes the logits."""
        return EMBEDDING if self.config.tie_word_embeddings else HEAD

    @property
    def linears(self) -> dict[str, npt.NDArray[np.float32]]:
        """The matrices [outputs, inputs] of all linear layers, the head included."""
        looked_up = set() if self.config.tie_word_embeddings else {EMBEDDING}
        return {name: w for name, w in self.tensors.items() if w.ndim == 2 and name not in looked_up}

    def encode(self, prompt: str) -> list[int]:
        """The prompt's tokens, with those that the tokenizer adds itself; InputError for none or too many."""
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            raise InputError("the prompt is not valid Unicode text") from error
        tokens: list[int] = self.tokenizer.encode(prompt).ids
        if not prompt:
            raise InputError("the prompt is empty: give at least one character")
        return self._fitting(tokens)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Tokens after which the model answers the last message.

        InputError for a model without a chat template, and for too many tokens.
        """
        if not self.chat_template:
            raise InputError("the model has no chat template: leave out --chat, or use one that was trained to chat")
        ends = self.config.eos_token_id
        bos, eos = self._token(self.config.bos_token_id), self._token(ends[0] if ends else None)
        text = render_chat(self.chat_template, messages, bos=bos, eos=eos)
        return self._fitting(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _token(self, number: int | None) -> str:
        return "" if number is None else self.tokenizer.id_to_token(number) or ""

    def _fitting(self, tokens: list[int]) -> list[int]:
        context = self.config.max_position_embeddings
        if not tokens:
            raise InputError("the prompt is empty: give at least one character")
        if len(tokens) > context:
            raise InputError(f"the prompt has {len(tokens)} tokens, but the model's context is {context}")
        return tokens


def tensor_shapes(config: LlamaConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor of a Llama."""
    hidden, inner = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    yield EMBEDDING, (config.vocab_size, hidden)
    for n in range(config.num_hidden_layers):
        layer = f"model.layers.{n}"
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.self_attn.q_proj.weight", (queries, hidden)
        yield f"{layer}.self_attn.k_proj.weight", (keys, hidden)
        yield f"{layer}.self_attn.v_proj.weight", (keys, hidden)
        yield f"{layer}.self_attn.o_proj.weight", (hidden, queries)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)
        yield f"{layer}.mlp.gate_proj.weight", (inner, hidden)
        yield f"{layer}.mlp.up_proj.weight", (inner, hidden)
        yield f"{layer}.mlp.down_proj.weight", (hidden, inner)
    yield "model.norm.weight", (hidden,)
    if not config.tie_word_embeddings:
        yield HEAD, (config.vocab_size, hidden)


def load_llama(folder: Path) -> LlamaModel:
    """The Llama in `folder`; InputError with the file and the key or tensor when something is wrong with it."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder")
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: has no {name}; a model is config.json, model.safetensors and tokenizer.json")
    config = load_llama_config(folder / "config.json")
    tensors = _load_tensors(open_model(folder), config)
    tokenizer = _load_tokenizer(folder / "tokenizer.json", config.vocab_size)
    return LlamaModel(config, tensors, tokenizer, _chat_template(folder))


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


def _load_tensors(weights: ModelWeights, config: LlamaConfig) -> dict[str, npt.NDArray[np.float32]]:
    bias = next((name for name in weights.files if name.endswith(".bias")), None)
    if bias is not None:
        raise InputError(f"{weights.path}: tensor {bias}: a Llama with biases is not supported")
    tensors = {}
    for name, shape in tensor_shapes(config):
        if name not in weights.files:
            raise InputError(f"{weights.path}: tensor {name} is missing, but config.json calls for it")
        found = weights.entry(name).shape
        if found != shape:
            raise InputError(f"{weights.path}: tensor {name} has the shape {found}, but config.json calls for {shape}")
        tensors[name] = weights.read_float32(name)
    _refuse_unused(weights, config, tensors)
    return tensors


def _refuse_unused(weights: ModelWeights, config: LlamaConfig, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """InputError when the files hold tensors that this decoder would leave out, so that it would compute another model.

    Harmless are tables of angles, which are computed here, and a head beside tied embeddings that is their copy.
    """
    unused = [name for name in weights.files if name not in tensors and not HARMLESS.search(name)]
    if config.tie_word_embeddings and HEAD in unused:
        if np.array_equal(weights.read_float32(HEAD), tensors[EMBEDDING]):
            unused.remove(HEAD)
        else:
            raise InputError(
                f"{weights.path}: tensor {HEAD} is not the embedding, but config.json ties the two: set "
                "tie_word_embeddings to false there"
            )
    if unused:
        more = f" and {len(unused) - SHOWN_NAMES} more" if len(unused) > SHOWN_NAMES else ""
        raise InputError(
            f"{weights.path}: {', '.join(unused[:SHOWN_NAMES])}{more}: a Llama has no such tensors, and without them "
            "this would be another model: merge adapters, undo quantization, or let config.json count all layers"
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
