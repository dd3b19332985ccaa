"""A decoder in NumPy float32, from tokens to logits: interprets the graph.

Letters of shapes: B texts, T new tokens of each, S tokens so far (the new ones included), G key/value heads, R query
heads for each of them, D values per head.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.models.decoder_graph import Attention, Branch, Layer, Linear, Mlp, Norm
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import AttentionFunction, float_attention, soft_cap
from einloom.models.float_functions import activate, normalise, rotate
from einloom.models.linears import Floats, Linears
from einloom.spec.errors import InputError


@dataclass(frozen=True)
class KeyValueCache:
    """Rotated keys and values [B, S, G, D] of one layer."""

    keys: Floats
    values: Floats

    def extended(self, new: "KeyValueCache") -> "KeyValueCache":
        """The cache with those of the new tokens at its end."""
        both = ((self.keys, new.keys), (self.values, new.values))
        return KeyValueCache(*(np.concatenate(parts, axis=1) for parts in both))


class Decoder:
    """A model at some position of a text.

    Parameters
    ----------
    model : graph and float32 tensors; embeddings, biases and norms are computed from them.
    linears : computes every matrix product with weights, the head included.
    attention : mixes the values of each layer; with several texts its arrays have their axis in front.
    texts : texts that are read side by side, each as if it were alone.
    on_layer : told the number of each layer when it is computed, and the residual stream [B T, hidden] behind it.

    Attributes
    ----------
    position : tokens seen so far, of each text.
    context : the most tokens that it can see.
    """

    def __init__(
        self,
        model: DecoderModel,
        linears: Linears,
        attention: AttentionFunction = float_attention,
        *,
        texts: int = 1,
        on_layer: Callable[[int, Floats], None] = lambda *_: None,
    ) -> None:
        self._graph = model.graph
        self._tensors = model.tensors
        self._small = dict[str, Floats]()  # all but linear layers
        self._linears = linears
        self._attend = attention
        self._texts = texts
        self._on_layer = on_layer
        self._caches = dict[str, KeyValueCache]()
        self.position = 0
        self.context = model.graph.context

    def step(self, tokens: list[int]) -> Floats:
        """Logits [B T, vocab] after each of the next `tokens`: a whole prompt at once, or one token at a time.

        Several texts have as many tokens each; those of the first come first.

        Raises InputError when the activations overflow float32, and ValueError past the end of the model's context.
        """
        x = self._through_layers(tokens)
        with np.errstate(all="ignore"):
            logits = self.logits(x)
        _require_finite(logits)
        self._go_on(tokens)
        return logits

    def read(self, tokens: list[int]) -> Floats:
        """What the head gets [B T, hidden] of the next `tokens`, without the logits, of which there are many.

        Raises what `step` does.
        """
        x = self.head_inputs(self._through_layers(tokens))
        self._go_on(tokens)
        return x

    def _through_layers(self, tokens: list[int]) -> Floats:
        """The residual stream behind the last layer; what overflows is found later."""
        end = self.position + len(tokens) // self._texts
        if end > self.context:
            raise ValueError(f"{end} tokens do not fit into a context of {self.context}")
        x = self.embedded(tokens)
        for number, layer in enumerate(self._graph.layers):
            x = self.through(layer, x)
            self._on_layer(number, x)
        return x

    def _go_on(self, tokens: list[int]) -> None:
        self.position += len(tokens) // self._texts

    def rewind(self, position: int) -> None:
        """Go on at `position`, as if the tokens from there on had not been read."""
        self._caches = {
            name: KeyValueCache(cache.keys[:, :position], cache.values[:, :position])
            for name, cache in self._caches.items()
        }
        self.position = position

    def embedded(self, tokens: list[int]) -> Floats:
        """What the first layer gets of the next `tokens`, [B T, hidden]."""
        embedding = self._graph.embedding
        with np.errstate(all="ignore"):
            x = self._tensor(embedding.weight)[tokens] * np.float32(embedding.scale)
            if embedding.positions:
                x = x + self._tensor(embedding.positions)[self._positions(len(tokens))]
        return x

    def through(self, layer: Layer, x: Floats) -> Floats:
        """The residual stream [B T, hidden] behind a layer that gets `x`; what overflows is found later."""
        with np.errstate(all="ignore"):
            for branch in layer.branches:
                x = x + self._branch(branch, x)
        return x

    def head_inputs(self, x: Floats) -> Floats:
        """What the head gets [B T, hidden] of what the last layer leaves; InputError when that is not finite."""
        with np.errstate(all="ignore"):
            x = self._normalised(self._graph.norm, x)
        _require_finite(x)
        return x

    def logits(self, x: Floats) -> Floats:
        """Logits [B T, vocab] of what the last layer leaves."""
        head, x = self._graph.head, self._normalised(self._graph.norm, x)
        logits = self._linear(head.linear, x) * np.float32(head.scale)
        return logits if head.cap is None else soft_cap(logits, head.cap)

    def _branch(self, branch: Branch, x: Floats) -> Floats:
        y = self._normalised(branch.pre_norm, x)
        y = self._mlp(branch.operation, y) if isinstance(branch.operation, Mlp) else self._mixed(branch.operation, y)
        return self._normalised(branch.post_norm, y) * np.float32(branch.multiplier)

    def _mixed(self, a: Attention, x: Floats) -> Floats:
        """Grouped-query attention, [B T, hidden] to [B T, hidden]."""
        new, texts = len(x), self._texts
        queries = self._normalised(a.query_norm, self._linear(a.query, x), a.size).reshape(new, a.heads, a.size)
        keys = self._normalised(a.key_norm, self._linear(a.key, x), a.size).reshape(new, a.groups, a.size)
        values = self._linear(a.value, x).reshape(new, a.groups, a.size)
        sink_queries = None
        if a.rope:
            positions = self._positions(new)
            if a.scores.reach:
                sink_queries = rotate(queries, np.minimum(positions, a.scores.reach), a.rope)
            queries, keys = rotate(queries, positions, a.rope), rotate(keys, positions, a.rope)
        before = self._caches.get(a.key.name)
        added = KeyValueCache(*(part.reshape(texts, -1, a.groups, a.size) for part in (keys, values)))
        cache = before.extended(added) if before else added
        self._caches[a.key.name] = cache
        several = slice(None) if texts > 1 else 0

        def grouped(made: Floats) -> Floats:
            of_texts: Floats = made.reshape(texts, -1, a.groups, a.heads // a.groups, a.size)[several]
            return of_texts

        cached = cache.keys[several], cache.values[several]
        if sink_queries is None:
            mixed = self._attend(grouped(queries), *cached, a.scores)
        else:
            mixed = self._attend(grouped(queries), *cached, a.scores, grouped(sink_queries))
        return self._linear(a.output, self._normalised(a.inner_norm, mixed.reshape(new, a.heads * a.size)))

    def _tensor(self, name: str) -> Floats:
        """A tensor other than a linear layer's, held once it was read."""
        if name not in self._small:
            self._small[name] = self._tensors[name]
        return self._small[name]

    def _positions(self, count: int) -> npt.NDArray[np.int64]:
        """The position of each of the next `count` tokens of all texts."""
        return np.tile(np.arange(self.position, self.position + count // self._texts), self._texts)

    def _mlp(self, m: Mlp, x: Floats) -> Floats:
        """The MLP, [B T, hidden] to [B T, hidden]."""
        up = self._linear(m.up, x)
        inner = activate(self._linear(m.gate, x), m.activation) * up if m.gate else activate(up, m.activation)
        return self._linear(m.down, self._normalised(m.inner_norm, inner))

    def _linear(self, linear: Linear, x: Floats) -> Floats:
        y = self._linears(linear.weight, x)
        return y + self._tensor(linear.bias) if linear.bias else y

    def _normalised(self, norm: Norm | None, x: Floats, head: int | None = None) -> Floats:
        """The norm of each row of `x`, or of each head of it where the norm is as large as one; `x` without a norm."""
        if norm is None:
            return x
        rows = x.reshape(-1, norm.size) if norm.size == head else x
        bias = self._tensor(norm.bias) if norm.bias else None
        return normalise(rows, norm.kind, self._tensor(norm.weight), bias, norm.epsilon).reshape(x.shape)


def _require_finite(x: Floats) -> None:
    if not np.isfinite(x).all():
        raise InputError("the model's activations overflow float32")
