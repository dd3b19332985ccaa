"""`einloom compile`: a model becomes the program and the memory images that a config's core runs."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from einloom.catalogue import load_config, load_windowed
from einloom.choice import core_for
from einloom.cli.figures import print_figures
from einloom.cli.options import AttentionWindow, Calibration, ConfigName, Context, Model, Schedule, Sinks, Weights
from einloom.compiled import compile as compile_model


def compile(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the program and its images.")],
    model: Model = None,
    config: ConfigName = None,
    weights: Weights = "",
    calibration: Calibration = None,
    schedule: Schedule = "standard",
    attention_window: AttentionWindow = None,
    sinks: Sinks = 0,
    context: Context = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compile a model for a design: program, listing, memory images, and a report of the mapping."""
    if config is not None:
        _ = load_config(config).core_section
    loaded, console = load_windowed(model, attention_window, sinks, context), Console(stderr=True)
    chosen, reason = core_for(loaded, config)
    if reason:
        console.print(f"{chosen.name}: {reason}", soft_wrap=True, markup=False, highlight=False)
    with console.status("compiling the model"):
        compiled = compile_model(loaded, chosen, weights=weights, calibration=calibration, schedule=schedule)
    compiled.write(output)
    if as_json:
        typer.echo(json.dumps(compiled.figures(output)))
        return
    print_figures(compiled.table(output), title="Compiled", column=compiled.manifest.name, as_json=False)
