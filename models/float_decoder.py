"""The Llama decoder (Touvron et al., 2023) in NumPy float32, from tokens to logits.

Letters of shapes: T new tokens, S tokens so far (the new ones included), G key/value heads, R query heads for each of
them, D values per head.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.models.float_attention import Attention, float_attention
from einloom.models.importer.huggingface import EMBEDDING, LlamaModel
from einloom.models.linears import Floats, Linears
from einloom.spec.errors import InputError


@dataclass(frozen=True)
class KeyValueCache:
    """Rotated keys and values [S, G, D] of one layer."""

    keys: Floats
    values: Floats

    def extended(self, keys: Floats, values: Floats) -> "KeyValueCache":
        """The cache with those of the new tokens, [T, G, D], at its end."""
        return KeyValueCache(np.concatenate([self.keys, keys]), np.concatenate([self.values, values]))


class Decoder:
    """A Llama at some position of a text.

    Parameters
    ----------
    model : dimensions and float32 tensors; embeddings and norms are computed from them.
    linears : computes every matrix product with weights, the head included.
    attention : mixes the values of each layer.

    Attributes
    ----------
    position : tokens seen so far.
    context : the most tokens that it can see.
    """

    def __init__(self, model: LlamaModel, linears: Linears, attention: Attention = float_attention) -> None:
        self._config = model.config
        self._tensors = model.tensors
        self._head = model.head
        self._linears = linears
        self._attend = attention
        nothing = np.zeros((0, model.config.num_key_value_heads, model.config.head_dim), np.float32)
        self._caches = [KeyValueCache(nothing, nothing)] * model.config.num_hidden_layers
        self.position = 0
        self.context = model.config.max_position_embeddings

    def step(self, tokens: list[int]) -> Floats:
        """Logits [T, vocab] after each of the next `tokens`: a whole prompt at once, or one token at a time.

        Raises InputError when the activations overflow float32, and ValueError past the end of the model's context.
        """
        end = self.position + len(tokens)
        if end > self.context:
            raise ValueError(f"{end} tokens do not fit into a context of {self.context}")
        eps = self._config.rms_norm_eps
        with np.errstate(all="ignore"):  # what overflows is found below
            x = self._tensors[EMBEDDING][tokens]
            for n in range(self._config.num_hidden_layers):
                layer = f"model.layers.{n}"
                x = x + self._attention(n, rms_norm(x, self._tensors[f"{layer}.input_layernorm.weight"], eps))
                x = x + self._mlp(n, rms_norm(x, self._tensors[f"{layer}.post_attention_layernorm.weight"], eps))
            logits = self._linears(self._head, rms_norm(x, self._tensors["model.norm.weight"], eps))
        if not np.isfinite(logits).all():
            raise InputError("the model's activations overflow float32")
        self.position = end
        return logits

    def _attention(self, n: int, x: Floats) -> Floats:
        """Grouped-query attention of layer `n`, [T, hidden] to [T, hidden]."""
        new, heads = len(x), self._config.num_attention_heads
        groups, size = self._config.num_key_value_heads, self._config.head_dim
        layer = f"model.layers.{n}.self_attn"
        queries = self._linears(f"{layer}.q_proj.weight", x).reshape(new, heads, size)
        keys = self._linears(f"{layer}.k_proj.weight", x).reshape(new, groups, size)
        values = self._linears(f"{layer}.v_proj.weight", x).reshape(new, groups, size)

        positions = np.arange(self.position, self.position + new)
        queries = rotate(queries, positions, self._config.rope_theta)
        cache = self._caches[n].extended(rotate(keys, positions, self._config.rope_theta), values)
        self._caches[n] = cache

        grouped = queries.reshape(new, groups, heads // groups, size)
        mixed = self._attend(grouped, cache.keys, cache.values).reshape(new, heads * size)
        return self._linears(f"{layer}.o_proj.weight", mixed)

    def _mlp(self, n: int, x: Floats) -> Floats:
        """SwiGLU of layer `n`, [T, hidden] to [T, hidden]."""
        layer = f"model.layers.{n}.mlp"
        gate = silu(self._linears(f"{layer}.gate_proj.weight", x))
        return self._linears(f"{layer}.down_proj.weight", gate * self._linears(f"{layer}.up_proj.weight", x))


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """x / sqrt(mean of x^2 + eps) * weight over the last axis."""
    mean_square = np.mean(x * x, axis=-1, keepdims=True)
    result: Floats = x / np.sqrt(mean_square + np.float32(eps)) * weight
    return result


def rotate(x: Floats, positions: npt.NDArray[np.int64], theta: float) -> Floats:
    """Rotary position embedding of `x` [T, heads, D], in the layout of Hugging Face: i turns with i + D / 2.

    The pair i turns by position * theta^(-2 i / D); angles are computed in float64, so that they hold at long contexts.
    """
    size = x.shape[-1]
    angles = positions[:, None] * theta ** -(np.arange(0, size, 2) / size)
    cos, sin = np.cos(angles).astype(np.float32)[:, None], np.sin(angles).astype(np.float32)[:, None]
    first, second = x[..., : size // 2], x[..., size // 2 :]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def silu(x: Floats) -> Floats:
    """x * sigmoid(x), by the half of the sigmoid that doesn't overflow."""
    small = np.exp(-np.abs(x))
    result: Floats = x * np.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return result
