"""Fidelity of a design on a text: perplexity, and agreement with the float model, by position."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from einloom.catalogue import load_config
from einloom.compiled import compile as compile_for
from einloom.html import figures_table
from einloom.models.agreement import agreement, log_softmax
from einloom.models.core_decoder import CoreDecoder
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears, Floats
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.config import Config
from einloom.spec.errors import InputError

BIN = 64
"""Positions of a window that are averaged."""


@dataclass(frozen=True)
class PositionBin:
    """Figures of the positions from `first` to `last` of all windows of a text.

    Attributes
    ----------
    perplexity, float_perplexity : exp of the mean negative log-likelihood of the next token, of the design and of the
        float model.
    kl : mean KL(float || design) in nats.
    top1 : share of the positions, 0 to 1, at which both find the same token most probable.
    """

    first: int
    last: int
    perplexity: float
    float_perplexity: float
    kl: float
    top1: float


@dataclass(frozen=True)
class EvaluationReport:
    """Fidelity of a design on a text.

    Attributes
    ----------
    config : the design.
    tokens : tokens that were predicted.
    window : tokens after which the models begin anew; their context, or less.
    whole : figures of all positions.
    bins : figures of each BIN positions of a window.
    saturated : share of the cache's codes, 0 to 1, that were at their limit.
    """

    config: str
    tokens: int
    window: int
    whole: PositionBin
    bins: tuple[PositionBin, ...]
    saturated: float

    def figures(self) -> dict[str, Any]:
        """Figures that `einloom evaluate --json` prints."""
        return asdict(self)

    def table(self) -> Table:
        """The figures for people."""
        title = f"{self.config}: {self.tokens:,} tokens in windows of {self.window:,}; "
        table = Table(title=f"{title}{self.saturated:.3%} of the cache's codes at their limit")
        for heading in ("positions", "perplexity", "of the float model", "KL in nats", "top-1"):
            table.add_column(heading, justify="right")
        for n, part in enumerate((*self.bins, self.whole)):
            name = "all" if n == len(self.bins) else f"{part.first} to {part.last}"
            figures = (f"{part.perplexity:.3f}", f"{part.float_perplexity:.3f}", f"{part.kl:.4f}", f"{part.top1:.1%}")
            table.add_row(name, *figures, end_section=n == len(self.bins) - 1)
        return table

    def _repr_html_(self) -> str:
        return figures_table(f"{self.config} on {self.tokens} tokens", asdict(self.whole) | {"window": self.window})


def evaluate(
    model: str | Path | DecoderModel | None,
    text: str,
    *,
    config: str | Path | Mapping[str, Any] | Config = "default",
    weights: str = "",
    calibration: str | Path | None = None,
    tokens: int = 1024,
    window: int | None = None,
    on_tokens: Callable[[int], None] = lambda _: None,
) -> EvaluationReport:
    """Read the first `tokens` tokens of a text with a design's golden model and with the float model.

    Parameters
    ----------
    weights, calibration : see `compile`.
    window : tokens after which both begin anew; the model's context if left out, and at most that.
    on_tokens : told how many more tokens were read, now and then.

    InputError when the text is too short or the model doesn't fit.
    """
    compiled = compile_for(model, load_config(config), weights=weights, calibration=calibration)
    loaded, core = compiled.model, compiled.manifest.core
    ids = loaded.tokenizer.encode(text).ids[: tokens + 1]
    if len(ids) < 2:
        raise InputError("the text has fewer than two tokens, so that there is nothing to predict")
    length = min(window or loaded.graph.context, loaded.graph.context)
    driver = GoldenDriver(compiled.manifest, compiled.program)
    found, expected, positions = list[Floats](), list[Floats](), list[int]()
    for start in range(0, len(ids) - 1, length):
        part = ids[start : min(start + length, len(ids) - 1)]
        decoder = CoreDecoder(driver, compiled.program, core.gemm.rows, core.beat_bytes)
        for at in range(0, len(part), core.gemm.rows):
            found.append(decoder.step(part[at : at + core.gemm.rows]))
            on_tokens(len(found[-1]))
        expected.append(Decoder(loaded, FloatLinears(loaded.linears)).step(part))
        positions += range(len(part))
    logits = np.concatenate(found), np.concatenate(expected), np.array(ids[1 : len(positions) + 1])
    places = np.array(positions)
    firsts = range(0, max(positions) + 1, BIN)
    bins = [_bin(first, min(first + BIN, length) - 1, places, *logits) for first in firsts]
    whole = _bin(0, length - 1, places, *logits)
    return EvaluationReport(compiled.manifest.name, len(positions), length, whole, tuple(bins), driver.saturated)


def _bin(
    first: int,
    last: int,
    places: npt.NDArray[np.int64],
    found: Floats,
    expected: Floats,
    following: npt.NDArray[np.int64],
) -> PositionBin:
    rows = np.flatnonzero((places >= first) & (places <= last))

    def perplexity(logits: Floats) -> float:
        return float(np.exp(-log_softmax(logits[rows])[range(len(rows)), following[rows]].mean()))

    both = agreement(expected[rows], found[rows])
    return PositionBin(first, last, perplexity(found), perplexity(expected), both.kl, both.top1)
