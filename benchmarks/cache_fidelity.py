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
* recent: heads are mixed over all elements, keys less their means and balanced against queries (models/key_moments.py),
  codes of 8 bits in the last N tiles of 16 positions and in the first tile, and elsewhere the upper halves of these,
  as cores with `cache_recent: N` do (--recent).
* tiles: keys have a scale and a zero point for each channel and tile of 32 tokens, and 8 bits with a scale per token as
  long as their tile is not full (KIVI, Liu et al., 2024); values are those of `rotated`.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from einloom.catalogue import load_model
from einloom.models.agreement import log_softmax
from einloom.models.cache_scales import CacheScales
from einloom.models.calibrate import calibrate
from einloom.models.calibration_texts import self_texts
from einloom.models.calibration_texts import windows as calibration_windows
from einloom.models.decoder_graph import Rope, Scores
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import AttentionFunction, float_attention, soft_cap, softmax
from einloom.models.float_decoder import Decoder
from einloom.models.key_moments import KeyMoments
from einloom.models.linears import FloatLinears, Floats
from einloom.spec.cache_format import CacheFormat

BIN = 64
LANES = 16
TILE = 32
FEWER = 4
"""One of so many windows of a calibration's text is read."""
ROWS = 16
"""Positions of a tile of the attention engine."""
LARGEST_CODE = CacheFormat(4, ROWS, 512, token_scales=True, recent=2).largest_code
FOUR_ONLY = (("mixed", 8), ("recent", 8))
WAYS = ("static", "token", "words", "rotated", "centred", "mixed", "tiles", "recent")
Coding = Callable[[Floats], Floats]


def attend(queries: Floats, keys: Floats, values: Floats, scores: Scores, size: int, others: Floats) -> Floats:
    """models/float_attention.py for one text, but that a query sees `others` in its own tile of `size` keys."""
    new, count = len(queries), len(keys)
    tiles = np.arange(count) // size
    own = tiles[count - new :, None] == tiles
    of_keys, of_others = (queries.transpose(1, 2, 0, 3) @ k.transpose(1, 2, 0)[:, None] for k in (keys, others))
    products = np.where(own, of_others, of_keys) * np.float32(scores.scale)
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
        return float_attention(queries, *coded, scores)

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
        mixed: Floats = float_attention(queries @ h, coded_keys, coded_values, scores) @ h.T
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
        mixed: Floats = attend(queries, tiles, coded(values @ h, self.bits), scores, TILE, coded(keys, 8)) @ h.T
        return mixed


@dataclass
class RecentCache:
    """Attention with keys and values as `recent` says; layers take turns."""

    recent: int
    mixing: Floats
    moments: list[KeyMoments]
    ropes: list[Rope | None]
    calls: int = 0

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        layer = self.calls % len(self.moments)
        self.calls += 1
        moments, rope, h = self.moments[layer], self.ropes[layer], self.mixing
        factors = moments.factors(rope)
        whole_keys, upper_keys = upper_halves(((keys - moments.means(rope)) * factors) @ h)
        whole, upper = upper_halves(values @ h)
        tiles = np.arange(len(keys)) // ROWS
        near = (tiles[:, None] - tiles < self.recent) | (tiles == 0)
        turned = (queries / factors[:, None]) @ h
        products = (turned.transpose(1, 2, 0, 3) @ k.transpose(1, 2, 0)[:, None] for k in (whole_keys, upper_keys))
        seen = scores.mask(len(keys)).visible(np.arange(len(keys))).T
        weights = softmax(np.where(seen, np.where(near, *products) * np.float32(scores.scale), np.float32(-np.inf)))
        near_part, far_part = (
            (weights * part) @ v.transpose(1, 0, 2)[:, None] for part, v in ((near, whole), (~near, upper))
        )
        mixed: Floats = (near_part + far_part).transpose(2, 0, 1, 3) @ h.T
        return mixed


def upper_halves(x: Floats) -> tuple[Floats, Floats]:
    """x by codes of 8 bits with a scale over its last axis, and by the upper four bits of these."""
    scale = np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.float32(1e-20)) / np.float32(LARGEST_CODE)
    codes = np.rint(x / scale)
    return codes * scale, np.minimum(np.floor((codes + 8) / 16), 7) * 16 * scale


def coded(x: Floats, bits: int) -> Floats:
    """x with a scale over its last axis."""
    limit = np.float32((1 << bits - 1) - 1)
    scale = np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.float32(1e-20)) / limit
    result: Floats = np.rint(x / scale) * scale
    return result


class KeyWatch:
    """Float attention that keeps the moments of each layer's keys, and their mean without the first four, which are
    unlike all others."""

    def __init__(self, ropes: list[Rope | None]) -> None:
        self.means: list[Floats] = []
        self.moments: list[KeyMoments] = []
        self._ropes = ropes

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        moments = KeyMoments.none(*keys.shape[-2:])
        moments.add(queries, keys, self._ropes[len(self.moments)])
        self.moments.append(moments)
        self.means.append(keys[:, 4:].mean(axis=(0, 1)))
        return float_attention(queries, keys, values, scores)


def hadamard(size: int) -> Floats:
    """Sylvester's matrix over sqrt(size) for the largest power of two that divides `size`, for each such part."""
    h = np.ones((1, 1), np.float32)
    while size % (2 * len(h)) == 0:
        h = np.block([[h, h], [h, -h]])
    result: Floats = np.kron(np.eye(size // len(h)), h / np.sqrt(np.float32(len(h)))).astype(np.float32)
    return result


def padded_mixing(size: int, *, lanes: bool = False) -> Floats:
    """The matrix [size, padded size] that mixes a head over its words, with `lanes` also over the elements of a word;
    halves are filled up to whole words."""
    half = -(-size // (2 * LANES)) * LANES
    places = np.concatenate([np.arange(size // 2), half + np.arange(size - size // 2)])
    of_word = hadamard(LANES) if lanes else np.eye(LANES, dtype=np.float32)
    result: Floats = np.kron(hadamard(2 * half // LANES), of_word)[places]
    return result


def caches(
    model: DecoderModel, names: list[str], other: npt.NDArray[np.int64], widths: list[int], recent: int
) -> Mapping[str, AttentionFunction]:
    """Attention of each of the ways, with each of the widths; `other` are texts [B, T] for the moments of keys."""
    ropes = [layer.attention.rope for layer in model.graph.layers]
    size, watch = model.graph.attention.size, KeyWatch(ropes)
    if {"centred", "recent"} & set(names):
        Decoder(model, FloatLinears(model.linears), watch, texts=len(other)).step(other.ravel().tolist())
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
            "recent": lambda: RecentCache(recent, padded_mixing(size, lanes=True), watch.moments, ropes),
        }
        ways |= {f"{name}, {bits}": made[name]() for name in names if bits in widths and (name, bits) not in FOUR_ONLY}
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--bits", nargs="+", type=int, choices=(8, 4), default=(8, 4))
    parser.add_argument("--recent", type=int, default=2, help="last tiles with codes of 8 bits")
    parser.add_argument("--calibration", type=Path, help="of the text's kind; without one, what the model writes")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    length = min(arguments.length, model.graph.context)
    ids = model.tokenizer.encode(arguments.text.read_text(), add_special_tokens=False).ids
    begin = [] if model.bos is None else [model.bos]
    calibration = arguments.calibration
    other = calibration_windows(model, calibration.read_text())[::FEWER] if calibration else self_texts(model)
    ways = caches(model, list(arguments.ways), other, list(arguments.bits), arguments.recent)
    totals = {name: np.zeros(length) for name in ways}
    step = length - len(begin)
    windows = range(0, min(arguments.windows * step, len(ids) - step + 1), step)
    for start in windows:
        text = [*begin, *ids[start : start + step]]
        expected = log_softmax(Decoder(model, FloatLinears(model.linears)).step(text))
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
