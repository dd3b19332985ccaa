"""KL divergence of a model whose cache of keys and values is quantized, all else in float, by position.

    python -m benchmarks.cache_fidelity MODEL --text FILE [--windows 2] [--length 1024] [--ways static words ...]

Ways, each with 8 and with 4 bits:

* static: a scale per channel, of the norm of the pair that RoPE rotates, from texts that the model writes. It is what
  cores with `cache_scales: static` do (models/calibrate.py).
* token: a scale per token and head, the largest magnitude over the largest code.
* words: the same of heads that a Hadamard matrix has mixed over their words of 16 elements, as cores with
  `cache_scales: token` do (mapping/codegen/token_coder.py).
* rotated: the same with a Hadamard matrix over all of a head's elements (QuaRot, Ashkboos et al., NeurIPS 2024).
* centred: rotated, and of keys the mean of another part of the text is taken off first, which softmax does not see.
* mixed: words, with keys of 8 bits and values of the way's own.
* tiles: keys have a scale and a zero point for each channel and tile of 32 tokens, and 8 bits with a scale per token as
  long as their tile is not full (KIVI, Liu et al., 2024); values are those of `rotated`.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from einloom.catalogue import load_model
from einloom.models.agreement import log_softmax
from einloom.models.cache_scales import CacheScales
from einloom.models.calibrate import calibrate
from einloom.models.decoder_graph import Scores
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import AttentionFunction, soft_cap, softmax
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears, Floats

BIN = 64
LANES = 16
TILE = 32
WAYS = ("static", "token", "words", "rotated", "centred", "mixed", "tiles")
Coding = Callable[[Floats], Floats]


def attend(
    queries: Floats, keys: Floats, values: Floats, scores: Scores, recent: tuple[int, Floats] | None = None
) -> Floats:
    """models/float_attention.py for one text, by matrix products: those are several times faster over 1,000 keys.

    With `recent`, a size of tiles and other keys, a query sees these others in its own tile.
    """
    new, count = len(queries), len(keys)
    products = queries.transpose(1, 2, 0, 3) @ keys.transpose(1, 2, 0)[:, None]
    if recent:
        size, others = recent
        tiles = np.arange(count) // size
        own = tiles[count - new :, None] == tiles
        products = np.where(own, queries.transpose(1, 2, 0, 3) @ others.transpose(1, 2, 0)[:, None], products)
    products *= np.float32(scores.scale)
    if scores.cap is not None:
        products = soft_cap(products, scores.cap)
    seen = scores.mask(count).visible(np.arange(count - new, count)).T
    weights = softmax(np.where(seen, products, np.float32(-np.inf)))
    mixed: Floats = (weights @ values.transpose(1, 0, 2)[:, None]).transpose(2, 0, 1, 3)
    return mixed


@dataclass
class StaticCache:
    """Attention with codes of a scale per channel; layers take turns."""

    scales: list[CacheScales]
    limit: int
    calls: int = 0

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        scale = self.scales[self.calls % len(self.scales)]
        self.calls += 1
        coded = (self._coded(x, s) for x, s in ((keys, scale.keys), (values, scale.values)))
        return attend(queries, *coded, scores)

    def _coded(self, x: Floats, scale: Floats) -> Floats:
        coded: Floats = np.clip(np.rint(x / scale), -self.limit, self.limit) * scale
        return coded


@dataclass
class TokenCache:
    """Attention with codes of a scale per token and head, of heads that `rotation` has mixed; layers take turns.

    `means` are what is taken off each layer's keys, [G, D] each.
    """

    key_bits: int
    value_bits: int
    rotation: Floats
    means: list[Floats] | None = None
    calls: int = 0

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        if self.means:
            keys = keys - self.means[self.calls % len(self.means)]
            self.calls += 1
        h = self.rotation
        coded_keys, coded_values = coded(keys @ h, self.key_bits), coded(values @ h, self.value_bits)
        mixed: Floats = attend(queries @ h, coded_keys, coded_values, scores) @ h.T
        return mixed


@dataclass
class TileCache:
    """Attention with keys that are coded tile by tile, as `tiles` says, and rotated values with a scale per token."""

    bits: int
    rotation: Floats

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        h, count = self.rotation, len(keys)
        whole = np.pad(keys, ((0, -count % TILE), (0, 0), (0, 0)), mode="edge").reshape(-1, TILE, *keys.shape[1:])
        low, high = whole.min(axis=1, keepdims=True), whole.max(axis=1, keepdims=True)
        step = np.maximum(high - low, np.float32(1e-20)) / np.float32((1 << self.bits) - 1)
        tiles: Floats = (np.rint((whole - low) / step) * step + low).reshape(-1, *keys.shape[1:])[:count]
        mixed: Floats = attend(queries, tiles, coded(values @ h, self.bits), scores, (TILE, coded(keys, 8))) @ h.T
        return mixed


def coded(x: Floats, bits: int) -> Floats:
    """x with a scale over its last axis."""
    limit = np.float32((1 << bits - 1) - 1)
    scale = np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.float32(1e-20)) / limit
    result: Floats = np.rint(x / scale) * scale
    return result


class KeyMeans:
    """Float attention that keeps the mean of each layer's keys but for the first four, which are unlike all others."""

    def __init__(self) -> None:
        self.means: list[Floats] = []

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        self.means.append(keys[4:].mean(axis=0))
        return attend(queries, keys, values, scores)


def hadamard(size: int) -> Floats:
    """Sylvester's matrix over sqrt(size) for the largest power of two that divides `size`, for each such part."""
    h = np.ones((1, 1), np.float32)
    while size % (2 * len(h)) == 0:
        h = np.block([[h, h], [h, -h]])
    result: Floats = np.kron(np.eye(size // len(h)), h / np.sqrt(np.float32(len(h)))).astype(np.float32)
    return result


def padded_mixing(size: int) -> Floats:
    """The matrix [size, padded size] that mixes a head over its words; halves are filled up to whole words."""
    half = -(-size // (2 * LANES)) * LANES
    places = np.concatenate([np.arange(size // 2), half + np.arange(size - size // 2)])
    result: Floats = np.kron(hadamard(2 * half // LANES), np.eye(LANES, dtype=np.float32))[places]
    return result


def caches(model: DecoderModel, names: list[str], other: list[int]) -> Mapping[str, AttentionFunction]:
    """Attention of each of the ways, with 8 bits and then with 4; `other` is text for the means of keys."""
    size, watch = model.graph.attention.size, KeyMeans()
    if "centred" in names:
        Decoder(model, FloatLinears(model.linears), watch).step(other)
    full, words = hadamard(size), padded_mixing(size)
    ways: dict[str, AttentionFunction] = {}
    for bits in (8, 4):
        limit = (1 << bits - 1) - 1
        made: dict[str, Callable[[], AttentionFunction]] = {
            "static": lambda limit=limit: StaticCache(calibrate(model, limit), limit),
            "token": lambda bits=bits: TokenCache(bits, bits, np.eye(size, dtype=np.float32)),
            "words": lambda bits=bits: TokenCache(bits, bits, words),
            "rotated": lambda bits=bits: TokenCache(bits, bits, full),
            "centred": lambda bits=bits: TokenCache(bits, bits, full, watch.means),
            "mixed": lambda bits=bits: TokenCache(8, bits, words),
            "tiles": lambda bits=bits: TileCache(bits, full),
        }
        ways |= {f"{name}, {bits}": made[name]() for name in names if (name, bits) != ("mixed", 8)}
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    length = min(arguments.length, model.graph.context)
    ids = model.tokenizer.encode(arguments.text.read_text(), add_special_tokens=False).ids
    begin = [] if model.bos is None else [model.bos]
    ways = caches(model, list(arguments.ways), [*begin, *ids[-length:]][:length])
    totals = {name: np.zeros(length) for name in ways}
    step = length - len(begin)
    windows = range(0, min(arguments.windows * step, len(ids) - step + 1), step)
    for start in windows:
        text = [*begin, *ids[start : start + step]]
        expected = log_softmax(Decoder(model, FloatLinears(model.linears), attend).step(text))
        for name, attention in ways.items():
            found = log_softmax(Decoder(model, FloatLinears(model.linears), attention).step(text))
            totals[name] += (np.exp(expected) * (expected - found)).sum(axis=-1)
            print(f"{start + step:,} of {len(windows) * step:,} tokens, {name}", flush=True)
    table = Table(title=f"KL in nats by position, {len(windows)} windows of {length:,}")
    for heading in ("positions", *ways):
        table.add_column(heading, justify="right")
    for first in range(0, length, BIN):
        part = slice(first, first + BIN)
        row = (f"{total[part].mean() / len(windows):.4f}" for total in totals.values())
        table.add_row(f"{first} to {min(first + BIN, length) - 1}", *row)
    worst = (max(t[n : n + BIN].mean() for n in range(0, length, BIN)) / len(windows) for t in totals.values())
    table.add_row("worst", *(f"{value:.4f}" for value in worst))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
