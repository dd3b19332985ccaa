"""`einloom sweep`: a grid or a sample of configs, jobs and models, measured point by point."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from einloom.plots import require_plots
from einloom.spec.errors import CheckFailed, InputError
from einloom.sweeping import KEPT, PAGE, TABLE, SweepReport, require_pairs
from einloom.sweeping import sweep as run_sweep
from einloom.sweeps.axes import shown
from einloom.sweeps.plan import read_plan

SHOWN = 12
"""Points of a front, and errors, that are shown."""


def sweep(
    file: Annotated[
        Path | None, typer.Argument(help="The sweep: a YAML file, or a shipped one.", metavar="SWEEP")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for results.", show_default="NAME-sweep"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes that measure points side by side.", show_default="all processors"),
    ] = None,
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="A Dask scheduler whose workers measure the points instead.")
    ] = "",
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw figures against each other into an .svg, .png or .pdf."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a grid or a sample of configs, jobs and models; goes on where it was ended."""
    if file is None:
        raise InputError("SWEEP is needed: a YAML file, or a shipped sweep")
    if jobs is not None and (jobs < 1 or scheduler):
        raise InputError("--jobs must be 1 or more, and left out with --scheduler")
    if plot is not None:
        require_plots(plot)
    plan = read_plan(file)
    if plot is not None:
        require_pairs(plot, plan)
    folder = Path(f"{plan.name}-sweep") if output is None else output
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("points", total=None)
        report = run_sweep(
            plan,
            folder,
            jobs=jobs,
            scheduler=scheduler,
            advance=lambda done, of: bar.update(task, completed=done, total=of),
        )
    if plot is not None:
        report.plot(plot)
    for name in (TABLE, PAGE, KEPT):
        Console(stderr=True).print(Text(f"wrote {folder / name}"))
    if as_json:
        typer.echo(json.dumps(report.figures() | {"csv": str(folder / TABLE), "html": str(folder / PAGE)}))
    else:
        _print(report)
    if report.bugs:
        raise CheckFailed(f"einloom failed at {report.bugs:,} of {len(report.rows):,} points: see the tracebacks above")
    if report.empty:
        raise CheckFailed("no point has any figure")


def _print(report: SweepReport) -> None:
    console = Console()
    console.print(
        f"{report.name}: {len(report.rows):,} points, {report.failed:,} with an error, {report.reused:,} of an earlier "
        f"run, {report.seconds:.1f} s",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    for plot in report.plots:
        best = report.fronts(plot)
        table = Table(title=f"Best in {plot.labels[1]} and {plot.labels[0]}", title_justify="left")
        for heading in (*(axis.rpartition(".")[2] for axis in report.varied), plot.labels[1], plot.labels[0]):
            table.add_column(heading, justify="right")
        for row in best[:SHOWN]:
            table.add_row(*(shown(row[axis]) for axis in report.varied), f"{row[plot.y]:,.1f}", f"{row[plot.x]:,.6g}")
        if len(best) > SHOWN:
            table.caption = f"and {len(best) - SHOWN:,} more"
        console.print(table)
    if report.errors:
        table = Table("points", "error", title="Errors", title_justify="left")
        for text, count in report.errors.most_common(SHOWN):
            table.add_row(f"{count:,}", Text(text))
        console.print(table)
