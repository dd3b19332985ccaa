"""`einloom cost`: what a token of a model costs on a config's core, and why."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from einloom.cli.options import ConfigName, Model, Schedule
from einloom.cost_tables import FigureTable, operations, roofline, summary, units, waits
from einloom.costing import cost as predict
from einloom.plots import require_plots
from einloom.timeline import require_timeline


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
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw roofline and timeline into an .svg, .png or .pdf."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write tables and plots as one page that needs nothing else."),
    ] = None,
    schedule: Schedule = "standard",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Predict what a model costs on a design: cycles of a token, what bounds them, and what would help most."""
    if timeline is not None:
        require_timeline(timeline)
    if plot is not None:
        require_plots(plot)
    if html is not None:
        require_plots(html, "--html", (".html", ".htm"))
    with Console(stderr=True).status("simulating units, queues and permits"):
        report = predict(
            model,
            config,
            position=position,
            prompt=prompt,
            weights=weights,
            memory=memory,
            clock_mhz=clock,
            schedule=schedule,
        )
    if report.found:
        Console(stderr=True).print(report.found.summary, soft_wrap=True, markup=False, highlight=False)
    for path, write in ((timeline, report.draw_timeline), (plot, report.plot), (html, report.write_html)):
        if path is not None:
            write(path)
            Console(stderr=True).print(Text(f"wrote {path}"))
    if as_json:
        typer.echo(json.dumps(report.figures()))
        return
    console = Console()
    for table in (summary(report), waits(report), operations(report), roofline(report), units(report)):
        console.print(_table(table))


def _table(table: FigureTable) -> Table:
    shown = Table(title=table.title, title_justify="left")
    for number, heading in enumerate(table.headings):
        is_word = number == 0 or len(table.headings) == 2 or heading in table.words
        shown.add_column(heading, justify="left" if is_word else "right")
    for row in table.rows:
        shown.add_row(*row)
    return shown
