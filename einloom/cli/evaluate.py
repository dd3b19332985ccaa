"""`einloom evaluate`: perplexity of a design on a text, and agreement with the float model, by position."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from einloom.catalogue import load_windowed
from einloom.choice import core_for
from einloom.cli.options import AttentionWindow, Calibration, ConfigName, Context, Model, Sinks, Weights
from einloom.cli.progress import TokenProgress
from einloom.evaluation import evaluate as evaluate_model
from einloom.plots import require_plots
from einloom.spec.errors import InputError
from einloom.spec.files import read_text


def evaluate(
    model: Model = None,
    text: Annotated[Path | None, typer.Option("--text", help="The file to read, UTF-8.")] = None,
    config: ConfigName = None,
    weights: Weights = "",
    calibration: Calibration = None,
    attention_window: AttentionWindow = None,
    sinks: Sinks = 0,
    context: Context = None,
    tokens: Annotated[int, typer.Option("-n", "--tokens", help="Tokens to read, at most.")] = 1024,
    window: Annotated[
        int | None, typer.Option(help="Tokens after which reading begins anew; the model's context if left out.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes that read windows side by side, each with a model.")] = 1,
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="A Dask scheduler whose workers read the windows instead.")
    ] = "",
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw loss and divergence by position, and errors by layer, into this SVG or PNG file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a design's fidelity on a text, with its golden model."""
    if text is None:
        raise InputError("--text FILE is needed: the text to read")
    if tokens < 1 or (window is not None and window < 1):
        raise InputError("--tokens and --window must be 1 or more")
    if jobs < 1 or (scheduler and jobs > 1):
        raise InputError("--jobs must be 1 or more, and 1 with --scheduler")
    if attention_window is not None and (jobs > 1 or scheduler):
        raise InputError("--attention-window is for one process: leave out --jobs and --scheduler")
    if plot is not None:
        require_plots(plot)
    content, console = read_text(text), Console(stderr=True)
    loaded = load_windowed(model, attention_window, sinks, context)
    chosen, reason = core_for(loaded, config)
    if reason:
        console.print(f"{chosen.name}: {reason}", soft_wrap=True, markup=False, highlight=False)
    with TokenProgress(console, lambda: 0, tokens) as progress:
        report = evaluate_model(
            (None if model is None else str(model)) if jobs > 1 or scheduler else loaded,
            content,
            config=chosen,
            weights=weights,
            calibration=calibration,
            tokens=tokens,
            window=window,
            jobs=jobs,
            scheduler=scheduler,
            on_tokens=progress.advance_by,
        )
    if plot is not None:
        report.plot(plot)
    if as_json:
        typer.echo(json.dumps(report.figures()))
    else:
        Console().print(report.table())
        Console().print(report.layer_table())
