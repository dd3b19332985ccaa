"""KL divergence of a model whose cache of keys and values is quantized, all else in float, by position.

    python -m benchmarks.cache_fidelity MODEL --text FILE [--windows 4] [--length 1024]

Ways, each with 8 and with 4 bits:

* static: a scale per channel, of the norm of the pair that RoPE rotates, from texts that the model writes. It is what
  cores do (models/calibrate.py).
* token: a scale per token and head, the largest magnitude over the largest code.
* rotated: the same, of queries, keys and values that a Hadamard matrix has rotated in each head. Scores stay the same,
  and outputs are rotated back, which costs nothing where the value and output projections take it in (QuaRot, Ashkboos
  et al., NeurIPS 2024).
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from einloom.catalogue import load_model
from einloom.models.agreement import log_softmax
from einloom.models.cache_scales import CacheScales
from einloom.models.calibrate import calibrate
from einloom.models.decoder_graph import Scores
from einloom.models.float_attention import float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears, Floats

BIN = 64


class StaticCache:
    """Attention with codes of a scale per channel; layers take turns."""

    def __init__(self, scales: list[CacheScales], bits: int) -> None:
        self.scales, self.limit, self.calls = scales, (1 << (bits - 1)) - 1, 0

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        scale = self.scales[self.calls % len(self.scales)]
        self.calls += 1
        coded = (self._coded(x, s) for x, s in ((keys, scale.keys), (values, scale.values)))
        return float_attention(queries, *coded, scores)

    def _coded(self, x: Floats, scale: Floats) -> Floats:
        coded: Floats = np.clip(np.rint(x / scale), -self.limit, self.limit) * scale
        return coded


class TokenCache:
    """Attention with codes of a scale per token and head, rotated or not."""

    def __init__(self, bits: int, rotation: Floats | None = None) -> None:
        self.limit, self.rotation = (1 << (bits - 1)) - 1, rotation

    def __call__(self, queries: Floats, keys: Floats, values: Floats, scores: Scores) -> Floats:
        if self.rotation is None:
            return float_attention(queries, self._coded(keys), self._coded(values), scores)
        h = self.rotation
        mixed: Floats = float_attention(queries @ h, self._coded(keys @ h), self._coded(values @ h), scores) @ h.T
        return mixed

    def _coded(self, x: Floats) -> Floats:
        scale = np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.float32(1e-20)) / np.float32(self.limit)
        coded: Floats = np.rint(x / scale) * scale
        return coded


def hadamard(size: int) -> Floats:
    """Sylvester's matrix over sqrt(size); `size` is a power of two."""
    h = np.ones((1, 1), np.float32)
    while len(h) < size:
        h = np.block([[h, h], [h, -h]])
    if len(h) != size:
        raise SystemExit(f"heads of {size} have no Hadamard matrix of Sylvester's")
    result: Floats = (h / np.sqrt(np.float32(size))).astype(np.float32)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--length", type=int, default=1024)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    length = min(arguments.length, model.graph.context)
    ids = model.tokenizer.encode(arguments.text.read_text()).ids[: arguments.windows * length]
    rotation = hadamard(model.graph.attention.size)
    scales = {bits: calibrate(model, bits) for bits in (8, 4)}
    ways = {
        f"{name}, {bits} bits": attention
        for bits in (8, 4)
        for name, attention in (
            ("static", StaticCache(scales[bits], bits)),
            ("token", TokenCache(bits)),
            ("rotated", TokenCache(bits, rotation)),
        )
    }
    totals = {name: np.zeros(length) for name in ways}
    windows = range(0, len(ids) - length + 1, length)
    for start in windows:
        text = ids[start : start + length]
        expected = log_softmax(Decoder(model, FloatLinears(model.linears)).step(text))
        for name, attention in ways.items():
            found = log_softmax(Decoder(model, FloatLinears(model.linears), attention).step(text))
            totals[name] += (np.exp(expected) * (expected - found)).sum(axis=-1)
        print(f"{start + length:,} of {len(ids):,} tokens", flush=True)
    table = Table(title=f"KL in nats by position, {len(windows)} windows of {length:,}")
    for heading in ("positions", *ways):
        table.add_column(heading, justify="right")
    for first in range(0, length, BIN):
        part = slice(first, first + BIN)
        row = (f"{total[part].mean() / len(windows):.4f}" for total in totals.values())
        table.add_row(f"{first} to {min(first + BIN, length) - 1}", *row)
    worst = (max(t[n : n + BIN].mean() for n in range(0, length, BIN)) / len(windows) for t in totals.values())
    table.add_row("worst", *(f"{value:.4f}" for value in worst))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
