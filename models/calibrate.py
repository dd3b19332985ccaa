"""Finds how large a model's keys and values become in texts."""

from dataclasses import dataclass, field

import numpy as np

from einloom.models.cache_scales import CacheScales
from einloom.models.calibration_texts import self_texts
from einloom.models.decoder_graph import Scores
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import float_attention
from einloom.models.key_moments import KeyMoments
from einloom.models.linears import Floats

MARGIN = 1.1
"""Scales are this much larger than the largest value that was seen; what is larger still saturates."""
SMALLEST = 1e-6


@dataclass
class CacheWatch:
    """Float attention that remembers the largest keys and values of each channel, over all texts that are read side by
    side. Layers take turns.

    Scales of keys are those of the norm of a pair that RoPE rotates. Rotation keeps it, so that they hold at positions
    far beyond the texts: slow pairs have turned little there.
    """

    model: DecoderModel
    moments: list[KeyMoments] = field(default_factory=list)
    keys: list[Floats] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    calls: int = 0

    def __call__(
        self, queries: Floats, keys: Floats, values: Floats, scores: Scores, sink_queries: Floats | None = None
    ) -> Floats:
        layers, new = self.model.graph.layers, slice(-queries.shape[-4], None)
        layer = self.calls % len(layers)
        added = keys[..., new, :, :]
        rope = layers[layer].attention.rope
        if len(self.moments) == layer:
            self.moments.append(KeyMoments.none(*keys.shape[-2:]))
        self.moments[layer].add(queries, keys, rope)
        sizes = pair_norms(added) if rope else np.abs(added)
        for seen, now in ((self.keys, sizes), (self.values, np.abs(values[..., new, :, :]))):
            largest = now.reshape(-1, *now.shape[-2:]).max(axis=0)
            if len(seen) == layer:
                seen.append(largest)
            else:
                seen[layer] = np.maximum(seen[layer], largest)
        self.calls += 1
        return float_attention(queries, keys, values, scores, sink_queries)

    def scales(self, largest_code: int) -> list[CacheScales]:
        """Scales of each layer's cache for codes up to `largest_code`, with means and factors of keys."""
        steps, margin = np.float32(largest_code), np.float32(MARGIN)
        found = []
        for layer, moments, *both in zip(self.model.graph.layers, self.moments, self.keys, self.values, strict=True):
            keys, values = (np.maximum(largest * margin, np.float32(SMALLEST)) / steps for largest in both)
            rope = layer.attention.rope
            found.append(CacheScales(keys, values, moments.means(rope), moments.factors(rope)))
        return found


def calibrate(model: DecoderModel, largest_code: int, *, seed: int = 0) -> list[CacheScales]:
    """Scales of each layer's cache for codes up to `largest_code`, from texts that the float model writes by itself."""
    watch = CacheWatch(model)
    self_texts(model, seed=seed, attention=watch)
    return watch.scales(largest_code)


def pair_norms(keys: Floats) -> Floats:
    """Norms of the pairs (i, i + D / 2) of keys [..., D], each in both of its places."""
    first, second = np.split(keys, 2, axis=-1)
    norms = np.hypot(first, second)
    result: Floats = np.concatenate([norms, norms], axis=-1)
    return result
