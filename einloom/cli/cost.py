"""`einloom cost`: what a token of a model costs on a config's core, and why."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from einloom.cli.options import ConfigName, Model
from einloom.costing import CostReport
from einloom.costing import cost as predict

LATE = 0.01
"""Operations that take less of a job are summed up."""


def cost(
    model: Model = None,
    config: ConfigName = None,
    position: Annotated[
        int | None,
        typer.Option("--position", metavar="N", help="Position of the token.", show_default="1023, or the last one"),
    ] = None,
    prompt: Annotated[
        int | None, typer.Option("--prompt", metavar="N", help="Predict the time of a prompt of N tokens, too.")
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            metavar="FORMAT",
            help="One of the design's weight formats, for all matrices.",
            show_default="the first of the design",
        ),
    ] = "",
    memory: Annotated[
        str, typer.Option("--memory", metavar="KIND", help="Behind each port: hbm, a channel of HBM2, or ideal.")
    ] = "hbm",
    clock: Annotated[
        float | None,
        typer.Option("--clock", metavar="MHZ", help="Clock of the core.", show_default="300"),
    ] = None,
    timeline: Annotated[
        Path | None,
        typer.Option(
            "--timeline",
            metavar="FILE",
            help="Draw what each unit does into an .svg or .png, or write a .json that Perfetto opens.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Predict what a model costs on a design: cycles of a token, what bounds them, and what would help most."""
    with Console(stderr=True).status("simulating units, queues and permits"):
        report = predict(
            model, config, position=position, prompt=prompt, weights=weights, memory=memory, clock_mhz=clock
        )
    if timeline is not None:
        report.draw_timeline(timeline)
        Console(stderr=True).print(Text(f"wrote {timeline}"))
    if as_json:
        typer.echo(json.dumps(report.figures()))
        return
    console = Console()
    for table in (_summary(report), _bounds(report), _operations(report), _units(report)):
        console.print(table)


def _summary(report: CostReport) -> Table:
    step, rate = report.step, 1 / report.seconds_per_token
    table = Table(
        "", f"position {step.position:,}", title=f"{report.manifest.name}, {report.memory} memory", title_justify="left"
    )
    table.add_row("cycles of a token", f"{step.cycles:,}")
    table.add_row("seconds", f"{report.seconds_per_token:.6f} at {report.clock_mhz:g} MHz")
    table.add_row("tokens per second", f"{rate:,.1f}")
    table.add_row("bound", f"{step.bound}, {step.least[step.bound]:,} cycles if nothing waits")
    table.add_row("share of that bound", f"{step.share_of_bound:.1%}")
    if report.time_to_first_token is not None:
        table.add_row("cycles of the prompt", f"{report.prompt_cycles:,} of {report.prompt:,} tokens")
        table.add_row("time to first token", f"{report.time_to_first_token:.4f} s")
    name, left = report.helps_most
    table.add_row("would help most", f"{name} without limit: {left:,} cycles, {step.cycles / left:.2f} times as fast")
    return table


def _bounds(report: CostReport) -> Table:
    """What the job waits for, and what would be left of it without each resource."""
    step = report.step
    table = Table(title="What a token waits for", title_justify="left")
    for heading in ("", "cycles", "of all", "of its own work"):
        table.add_column(heading, justify="right" if heading else "left")
    for bound, cycles in step.bounds.items():
        least = step.least.get(bound)
        table.add_row(str(bound), f"{cycles:,}", f"{cycles / step.cycles:.1%}", f"{least:,}" if least else "")
    for name, cycles in report.without.items():
        table.add_row(f"without limit: {name}", f"{cycles:,}", f"{cycles / step.cycles:.1%}")
    return table


def _operations(report: CostReport) -> Table:
    """The kinds of operations, with what each waits for most."""
    step = report.step
    shown = [part for part in step.operations if part.cycles >= LATE * step.cycles]
    bounds = [bound for bound, cycles in step.bounds.items() if cycles]
    table = Table(title="By kind of operation, in all layers", title_justify="left")
    for heading in ("operation", "cycles", "bound by", *map(str, bounds)):
        table.add_column(heading, justify="right" if heading not in ("operation", "bound by") else "left")
    for part in shown:
        table.add_row(part.name, f"{part.cycles:,}", str(part.bound), *(f"{part.bounds[bound]:,}" for bound in bounds))
    left = step.cycles - sum(part.cycles for part in shown)
    if left:
        table.add_row("all others", f"{left:,}")
    return table


def _units(report: CostReport) -> Table:
    table = Table(title="Units", title_justify="left")
    for heading in ("unit", "at work", "waiting for permits", "starved"):
        table.add_column(heading, justify="right" if heading != "unit" else "left")
    for unit, time in report.step.units.items():
        table.add_row(unit.name.lower(), f"{time.busy:,}", f"{time.waiting:,}", f"{time.starved:,}")
    return table
