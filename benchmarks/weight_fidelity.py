"""Perplexity of a model on a text with its weights in each format, or its cache, and all else in float.

    python -m benchmarks.weight_fidelity MODEL --text FILE [--tokens 4096] [--calibration FILE] [-c core-2ch]
        [--only ROW] [--files FILE ...]

Rows: the float model; int8 with a scale per output channel; at 4 and at 3 bits asymmetric integers, the minifloat
without special values and BitMoD's format, all rounded to nearest; BitMoD's format with the scale search, and with
balance and error feedback (mapping/compress) on the model's own texts and on the given one; a mixture of 3.5
bits; and float weights with keys and values in 8 and in 4 bits, in those of the ways of benchmarks/cache_fidelity.py
that cores have. Padding, groups and formats are those of the config's engine. With `--files` the rows are the float
model and files that `einloom quantize -o` wrote for the config, such as distilled ones.
"""

import argparse
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.cache_fidelity import StaticCache, caches
from einloom.catalogue import load_config, load_model
from einloom.generators.registry import describe
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.balance import balanced, find_balance
from einloom.mapping.compress.calibrated import quantize_calibrated
from einloom.mapping.compress.core_file import read_compressed
from einloom.mapping.compress.mixture import choose_formats
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.mapping.model_digest import model_digest
from einloom.models.agreement import log_softmax
from einloom.models.calibrate import CacheWatch
from einloom.models.calibration_texts import self_texts, windows
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import AttentionFunction, float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears, Floats
from einloom.spec.formats import FORMATS, Format

WINDOW = 1024
CACHES = ("static, 8", "words, 8", "static, 4", "words, 4", "recent, 4")
"""Ways of cores to keep keys and values."""
GIVEN = "given text"
"""What rows that are calibrated on `--calibration` end with."""
RECENT = 2
"""Last tiles with codes of eight bits, in the row `recent`."""


def perplexity(
    model: DecoderModel, weights: Mapping[str, Floats], ids: list[int], attention: AttentionFunction = float_attention
) -> float:
    """exp of the mean negative log-likelihood of the tokens behind the first of each window."""
    losses = []
    for start in range(0, len(ids) - 1, WINDOW):
        part = ids[start : start + WINDOW + 1]
        logits = Decoder(model, FloatLinears(weights), attention).step(part[:-1])
        losses.append(-log_softmax(logits)[range(len(part) - 1), part[1:]])
    return float(np.exp(np.concatenate(losses).mean()))


def asymmetric(matrix: Floats, bits: int, group: int) -> Floats:
    """The reference that BitMoD compares with: minimum to maximum of each group in even steps."""
    grouped = matrix.reshape(len(matrix), -1, group)
    low, high = grouped.min(-1, keepdims=True), grouped.max(-1, keepdims=True)
    step = np.maximum((high - low) / ((1 << bits) - 1), np.float32(1e-12))
    zero = np.rint(-low / step)
    codes = np.clip(np.rint(grouped / step) + zero, 0, (1 << bits) - 1)
    return ((codes - zero) * step).reshape(matrix.shape).astype(np.float32)


class Measure:
    """Takes rows of the table for one model, one engine and one text."""

    def __init__(self, model: DecoderModel, config: str, ids: list[int], only: str = "") -> None:
        manifest = describe(load_config(config))
        self.model, self.ids, self.engine = model, ids, manifest.config.gemm
        self.sizes = PaddedSizes.of(model.graph, manifest.core)
        self.group = self.engine.scale_group or self.engine.lanes
        self.rows: list[tuple[str, float, float]] = []
        self.only = only
        self.float = perplexity(model, model.linears, ids)
        self.add("float", 32, model.linears, 0)

    def add(
        self,
        name: str,
        bits: float,
        weights: Mapping[str, Floats],
        seconds: float,
        attention: AttentionFunction = float_attention,
        model: DecoderModel | None = None,
    ) -> None:
        found = self.float if name == "float" else perplexity(model or self.model, weights, self.ids, attention)
        self.rows.append((name, bits, found))
        print(f"{name}: {bits:.2f} bits, {found:.2f}, {found / self.float - 1:+.1%}, {seconds:.0f} s", flush=True)

    def each(self, name: str, bits: float, change: "Change") -> None:
        """A way that changes each matrix by itself, padded as the engine takes it."""
        if self.only not in name:
            return
        started, weights = time.perf_counter(), {}
        for tensor in self.model.graph.linears():
            padded = self.sizes.padded(tensor, self.model.tensors[tensor.name])
            weights[tensor.name] = self.sizes.cut(tensor, change(padded))
        self.add(name, bits, weights, time.perf_counter() - started)

    def calibrated(
        self, name: str, texts: npt.NDArray[np.int64], format: Format | None, average: float | None = None
    ) -> None:
        """Balance and error feedback on a text, in one format or in a mixture of so many bits on average.

        As `einloom compile` does, matrices aim at the float model's outputs where the text is a given one.
        """
        if self.only not in name:
            return
        started = time.perf_counter()
        nearest = format or min(self.engine.weight_formats, key=lambda f: abs(f.bits - (average or 0)))
        model = balanced(self.model, find_balance(self.model, self.engine, nearest, texts))
        if average is None:
            formats: Mapping[str, Format] = dict.fromkeys((t.name for t in model.graph.linears()), nearest)
        else:
            formats = choose_formats(model, self.sizes, self.engine, texts, average)
        aim = name.endswith(GIVEN)
        tensors = quantize_calibrated(model, self.sizes, self.engine, texts, formats, aim=aim)
        matrices = {tensor.name: tensor for tensor in model.graph.linears()}
        weights = {n: self.sizes.cut(matrices[n], t.dequantize()) for n, t in tensors.items()}
        bits = sum(t.bits_per_weight * t.codes.size for t in tensors.values())
        bits /= sum(t.codes.size for t in tensors.values())
        self.add(name, bits, weights, time.perf_counter() - started, model=model)

    def file(self, path: Path) -> None:
        """What `einloom quantize` keeps of the model."""
        started = time.perf_counter()
        found = read_compressed(path, model_digest(self.model))
        model = balanced(self.model, found.balance)
        weights = {t.name: self.sizes.cut(t, found.tensors[t.name].dequantize()) for t in model.graph.linears()}
        self.add(path.stem, found.bits_per_weight, weights, time.perf_counter() - started, model=model)

    def caches(self, texts: npt.NDArray[np.int64]) -> None:
        """Keys and values as cores keep them, with what has to be known before from `texts`."""
        names = {way: f"float, cache {way} bits" for way in CACHES if self.only in f"float, cache {way} bits"}
        if not names:
            return
        watch = CacheWatch(self.model)
        Decoder(self.model, FloatLinears(self.model.linears), watch, texts=len(texts)).step(texts.ravel().tolist())
        ways = dict(caches(self.model, ["words", "recent"], texts, [8, 4], RECENT))
        for bits in (8, 4):
            limit = (1 << (bits - 1)) - 1
            ways[f"static, {bits}"] = StaticCache(watch.scales(limit), limit)
        for way, name in names.items():
            self.add(name, 32, self.model.linears, 0, ways[way])


class Change:
    """A format by rounding to nearest, with or without the scale search."""

    def __init__(self, format: Format, group: int, search: bool = False) -> None:
        self.format, self.group, self.search = format, group, search

    def __call__(self, matrix: Floats) -> Floats:
        return quantize(matrix, self.format, self.group, scale_search=self.search).dequantize()


class Asymmetric(Change):
    def __call__(self, matrix: Floats) -> Floats:
        return asymmetric(matrix, self.format.bits, self.group)


class PerChannel(Change):
    def __call__(self, matrix: Floats) -> Floats:
        return quantize_per_channel(matrix, self.format).dequantize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--calibration", type=Path, help="of the text's kind, but not of the text")
    parser.add_argument("-c", "--config", default="core-2ch")
    parser.add_argument("--files", nargs="*", type=Path, metavar="FILE", help="only these, of `einloom quantize -o`")
    parser.add_argument("--only", default="", metavar="ROW", help="rows with this in their names")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    ids = model.tokenizer.encode(arguments.text.read_text()).ids[: arguments.tokens + 1]
    measure = Measure(model, arguments.config, ids, arguments.only)
    if arguments.files is not None:
        for path in arguments.files:
            measure.file(path)
        show(measure, len(ids) - 1)
        return
    texts = {"own texts": self_texts(model)}
    if arguments.calibration:
        texts[GIVEN] = windows(model, arguments.calibration.read_text())
    measure.each("int8", 8, PerChannel(FORMATS["int8"], 0))
    for bits in (4, 3):
        format, group = FORMATS[f"bitmod-fp{bits}"], measure.group
        base = dataclasses.replace(format, specials=(0, 0, 0, 0))
        measure.each(f"int{bits} asymmetric, nearest", bits + 16 / group, Asymmetric(FORMATS[f"int{bits}"], group))
        measure.each(f"fp{bits}, nearest", bits + 8 / group, Change(base, group))
        measure.each(f"{format.name}, nearest", bits + 10 / group, Change(format, group))
        measure.each(f"{format.name}, scale search", bits + 10 / group, Change(format, group, search=True))
        for name, tokens in texts.items():
            measure.calibrated(f"{format.name}, calibrated on {name}", tokens, format)
    for name, tokens in texts.items():
        measure.calibrated(f"auto:3.5, calibrated on {name}", tokens, None, 3.5)
    measure.caches(tokens)
    show(measure, len(ids) - 1)


def show(measure: Measure, tokens: int) -> None:
    """Print all rows as a table."""
    table = Table(title=f"perplexity on {tokens:,} tokens, in windows of {WINDOW:,}")
    for heading in ("weights", "bits", "perplexity", "over float"):
        table.add_column(heading, justify="left" if heading == "weights" else "right")
    for row, bits, found in measure.rows:
        table.add_row(row, f"{bits:.2f}", f"{found:.2f}", f"{found / measure.float - 1:+.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
