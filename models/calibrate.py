"""Finds how large a model's keys and values become, by letting it write."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from einloom.models.cache_scales import CacheScales
from einloom.models.float_attention import float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.importer.huggingface import LlamaModel
from einloom.models.linears import FloatLinears
from einloom.models.text_generation import generate_text

Floats = npt.NDArray[np.float32]
MARGIN = 1.1
"""Scales are this much larger than the largest value that was seen; what is larger still saturates."""
TOKENS = 192
SMALLEST = 1e-6


@dataclass
class _Watch:
    """Float attention that remembers the largest key and value of each channel; layers take turns."""

    layers: int
    keys: list[Floats] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    calls: int = 0

    def __call__(self, queries: Floats, keys: Floats, values: Floats) -> Floats:
        layer, new = self.calls % self.layers, len(queries)
        for seen, now in ((self.keys, keys[-new:]), (self.values, values[-new:])):
            largest = np.abs(now).max(axis=0)
            if self.calls < self.layers:
                seen.append(largest)
            else:
                seen[layer] = np.maximum(seen[layer], largest)
        self.calls += 1
        return float_attention(queries, keys, values)


def calibrate(model: LlamaModel, bits: int, *, seed: int = 0) -> list[CacheScales]:
    """Scales of each layer's cache for codes of `bits`.

    They come from a text that the float model writes by itself, sampled from a random first token on.
    """
    watch = _Watch(model.config.num_hidden_layers)
    decoder = Decoder(model, FloatLinears(model.linears), watch)
    first = int(np.random.default_rng(seed).integers(model.config.vocab_size))
    count = min(TOKENS, model.config.max_position_embeddings - 1)
    if count:
        generate_text(decoder, [first], count, temperature=1.0, seed=seed)
    else:
        decoder.step([first])
    limit = (1 << (bits - 1)) - 1
    return [
        CacheScales(
            *(np.maximum(largest * np.float32(MARGIN), np.float32(SMALLEST)) / np.float32(limit) for largest in both)
        )
        for both in zip(watch.keys, watch.values, strict=True)
    ]
