"""`einloom evaluate`: perplexity of a design on a text, and agreement with the float model, by position."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from einloom.catalogue import load_model
from einloom.choice import core_for
from einloom.cli.options import Calibration, ConfigName, Model, Weights
from einloom.cli.progress import TokenProgress
from einloom.evaluation import evaluate as evaluate_model
from einloom.spec.errors import InputError
from einloom.spec.files import read_text


def evaluate(
    model: Model = None,
    text: Annotated[Path | None, typer.Option("--text", help="The file to read, UTF-8.")] = None,
    config: ConfigName = None,
    weights: Weights = "",
    calibration: Calibration = None,
    tokens: Annotated[int, typer.Option("-n", "--tokens", help="Tokens to read, at most.")] = 1024,
    window: Annotated[
        int | None, typer.Option(help="Tokens after which reading begins anew; the model's context if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a design's fidelity on a text, with its golden model."""
    if text is None:
        raise InputError("--text FILE is needed: the text to read")
    if tokens < 1 or (window is not None and window < 1):
        raise InputError("--tokens and --window must be 1 or more")
    content, console = read_text(text), Console(stderr=True)
    loaded = load_model(model)
    chosen, reason = core_for(loaded, config)
    if reason:
        console.print(f"{chosen.name}: {reason}", soft_wrap=True, markup=False, highlight=False)
    with TokenProgress(console, lambda: 0, tokens) as progress:
        report = evaluate_model(
            loaded,
            content,
            config=chosen,
            weights=weights,
            calibration=calibration,
            tokens=tokens,
            window=window,
            on_tokens=progress.advance_by,
        )
    if as_json:
        typer.echo(json.dumps(report.figures()))
    else:
        Console().print(report.table())
