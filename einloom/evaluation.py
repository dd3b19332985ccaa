"""Fidelity of a design on a text: perplexity, and agreement with the float model, by position."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from einloom.catalogue import load_config
from einloom.compiled import compile as compile_for
from einloom.evaluation_windows import (
    Scores,
    Source,
    Window,
    WindowReader,
    read_by_others,
)
from einloom.html import figures_table
from einloom.models.decoder_model import DecoderModel
from einloom.spec.config import Config
from einloom.spec.errors import InputError

BIN = 64
"""Positions of a window that are averaged."""


@dataclass(frozen=True)
class PositionBin:
    """Figures of the positions from `first` to `last` of all windows of a text.

    Attributes
    ----------
    loss, float_loss : mean negative log-likelihood of the next token in nats, of the design and of the float model.
    kl : mean KL(float || design) in nats.
    top1 : share of the positions, 0 to 1, at which both find the same token most probable.
    """

    first: int
    last: int
    loss: float
    float_loss: float
    kl: float
    top1: float

    @property
    def perplexity(self) -> float:
        """exp of the loss."""
        return float(np.exp(self.loss))

    @property
    def float_perplexity(self) -> float:
        """exp of the float model's loss."""
        return float(np.exp(self.float_loss))

    def figures(self) -> dict[str, Any]:
        """The figures, perplexities included."""
        return asdict(self) | {"perplexity": self.perplexity, "float_perplexity": self.float_perplexity}


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
    layers : for each layer, the error of the residual stream behind it: the norm of its difference from the float
        model's over the norm of that, on average over all positions.
    saturated : share of the cache's codes, 0 to 1, that were at their limit.
    """

    config: str
    tokens: int
    window: int
    whole: PositionBin
    bins: tuple[PositionBin, ...]
    layers: tuple[float, ...]
    saturated: float

    def figures(self) -> dict[str, Any]:
        """Figures that `einloom evaluate --json` prints."""
        whole = self.whole.figures()
        figures = {"config": self.config, "tokens": self.tokens, "window": self.window}
        figures |= {key: value for key, value in whole.items() if key not in ("first", "last")}
        figures |= {"bins": [part.figures() for part in self.bins], "layers": list(self.layers)}
        return figures | {"saturated": self.saturated}

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

    def layer_table(self) -> Table:
        """Errors of the layers for people."""
        table = Table(title="error of the residual stream, over its norm")
        table.add_column("behind layer", justify="right")
        table.add_column("error", justify="right")
        for layer, error in enumerate(self.layers):
            table.add_row(str(layer), f"{error:.2%}")
        return table

    def plot(self, path: str | Path) -> None:
        """Draw loss and divergence by position, and errors by layer, into an .svg or .png file."""
        from einloom.evaluation_plot import plot_positions

        plot_positions(Path(path), self)

    def _repr_html_(self) -> str:
        return figures_table(f"{self.config} on {self.tokens} tokens", self.whole.figures() | {"window": self.window})


def evaluate(
    model: str | Path | DecoderModel | None,
    text: str,
    *,
    config: str | Path | Mapping[str, Any] | Config = "default",
    weights: str = "",
    calibration: str | Path | None = None,
    tokens: int = 1024,
    window: int | None = None,
    jobs: int = 1,
    scheduler: str = "",
    on_tokens: Callable[[int], None] = lambda _: None,
) -> EvaluationReport:
    """Read the first `tokens` tokens of a text with a design's golden model and with the float model.

    Windows that were read before are taken from the cache, so an evaluation that was ended goes on where it was.

    Parameters
    ----------
    weights, calibration : see `compile`.
    window : tokens after which both begin anew; the model's context if left out, and at most that.
    jobs : processes that read windows side by side, each with a model of its own.
    scheduler : address of a Dask scheduler whose workers read the windows instead; they must see the same files.
    on_tokens : told how many more tokens were read, now and then.

    InputError when the text is too short or the model doesn't fit, ToolError when no scheduler answers.
    """
    design, elsewhere = load_config(config), jobs > 1 or bool(scheduler)
    if elsewhere and isinstance(model, DecoderModel):
        raise InputError("jobs and scheduler need a model by its path, because other processes read it")
    # Compiled here too, so that what is wrong is said at once, and others find it in the cache.
    compiled = compile_for(model, design, weights=weights, calibration=calibration)
    windows, length = _windows(compiled.model, text, tokens, window)
    if elsewhere:
        assert not isinstance(model, DecoderModel)
        source = Source(None if model is None else str(model), design, weights, _text_of(calibration))
        scores = read_by_others(source, windows, jobs, scheduler, on_tokens)
    else:
        reader = WindowReader(compiled)
        scores = [reader.read(window, on_tokens) for window in windows]
    return _report(compiled.manifest.name, length, scores)


def _text_of(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _windows(model: DecoderModel, text: str, tokens: int, window: int | None) -> tuple[list[Window], int]:
    """The windows of a text, and the length of all but the last; InputError when there is nothing to predict."""
    ids = model.tokenizer.encode(text).ids[: tokens + 1]
    if len(ids) < 2:
        raise InputError("the text has fewer than two tokens, so that there is nothing to predict")
    length = min(window or model.graph.context, model.graph.context)
    starts = range(0, len(ids) - 1, length)
    ends = (min(start + length, len(ids) - 1) for start in starts)
    windows = [Window(tuple(ids[a:b]), tuple(ids[a + 1 : b + 1])) for a, b in zip(starts, ends, strict=True)]
    return windows, length


def _report(name: str, length: int, scores: Sequence[Scores]) -> EvaluationReport:
    places = np.concatenate([np.arange(len(window.loss)) for window in scores])
    columns = zip(*((s.loss, s.float_loss, s.kl, s.same) for s in scores), strict=True)
    every = [np.concatenate(values) for values in columns]

    def part(first: int, last: int) -> PositionBin:
        rows = (places >= first) & (places <= last)
        return PositionBin(first, last, *(float(values[rows].mean()) for values in every))

    layers = tuple(np.concatenate([s.layers for s in scores]).mean(axis=0).tolist())
    bins = tuple(part(first, min(first + BIN, length) - 1) for first in range(0, int(places.max()) + 1, BIN))
    at_limit, stored = np.sum([window.codes for window in scores], axis=0)
    saturated = float(at_limit / max(stored, 1))
    return EvaluationReport(name, len(places), length, part(0, length - 1), bins, layers, saturated)
