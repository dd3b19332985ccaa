"""Finds how large a model's keys and values become, by letting it write."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from einloom.models.cache_scales import CacheScales
from einloom.models.decoder_graph import Scores
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears, Floats
from einloom.models.text_generation import generate_text

MARGIN = 1.1
"""Scales are this much larger than the largest value that was seen; what is larger still saturates."""
TOKENS = 192
SMALLEST = 1e-6


@dataclass
class _Watch:
    """Float attention that remembers the largest keys and values of each channel; layers take turns.

    `rotated` says of each layer whether RoPE rotates its keys.
    """

    rotated: Sequence[bool]
    keys: list[Floats] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    calls: int = 0

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        layer, new = self.calls % len(self.rotated), len(queries)
        sizes = pair_norms(keys[-new:]) if self.rotated[layer] else np.abs(keys[-new:])
        for seen, now in ((self.keys, sizes), (self.values, np.abs(values[-new:]))):
            largest = now.max(axis=0)
            if len(seen) == layer:
                seen.append(largest)
            else:
                seen[layer] = np.maximum(seen[layer], largest)
        self.calls += 1
        return float_attention(queries, keys, values, scores)


def calibrate(model: DecoderModel, bits: int, *, seed: int = 0) -> list[CacheScales]:
    """Scales of each layer's cache for codes of `bits`.

    They come from texts that the float model writes by itself: one that begins as the model's texts do, and one from a
    random token on, as a text without a beginning would be. The first token matters most: its keys and values are often
    twenty times larger than all others.

    Scales of keys are those of the norm of a pair that RoPE rotates. Rotation keeps it, so that they hold at positions
    far beyond the texts: slow pairs have turned little there.
    """
    watch = _Watch([layer.attention.rope is not None for layer in model.graph.layers])
    for n, prompt in enumerate(_beginnings(model, seed)):
        decoder = Decoder(model, FloatLinears(model.linears), watch)
        count = min(TOKENS, model.graph.context - len(prompt))
        if count > 0:
            generate_text(decoder, prompt, count, temperature=1.0, seed=seed + n)
        else:
            decoder.step(prompt)
    limit = (1 << (bits - 1)) - 1
    return [
        CacheScales(
            *(np.maximum(largest * np.float32(MARGIN), np.float32(SMALLEST)) / np.float32(limit) for largest in both)
        )
        for both in zip(watch.keys, watch.values, strict=True)
    ]


def pair_norms(keys: Floats) -> Floats:
    """Norms of the pairs (i, i + D / 2) of keys [..., D], each in both of its places."""
    first, second = np.split(keys, 2, axis=-1)
    norms = np.hypot(first, second)
    result: Floats = np.concatenate([norms, norms], axis=-1)
    return result


def _beginnings(model: DecoderModel, seed: int) -> Iterator[list[int]]:
    """First tokens of texts: what the tokenizer puts before any text, or BOS where it doesn't; and a random token."""
    graph, bos = model.graph, model.bos
    begins: list[int] = model.tokenizer.encode("").ids
    if not begins and bos is not None and bos < graph.vocab:
        begins = [bos]
    if begins:
        yield begins[: graph.context]
    yield [int(np.random.default_rng(seed).integers(graph.vocab))]
