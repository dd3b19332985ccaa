"""`einloom synth`: what a design costs, from Yosys."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from einloom.cli.options import SizedFor
from einloom.plots import require_plots
from einloom.synthesis import (
    FPGA,
    LEVELS,
    Board,
    LogicPath,
    Resources,
    Synthesis,
    SynthesisReport,
    synthesise,
)

SHOWN_PARTS, SHOWN_PATHS = 40, 20
WIDTH = 110


def synth(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config.")],
    target: Annotated[str, typer.Option(help="A board (u280, u55c), or a name for the library of --liberty.")] = "u280",
    liberty: Annotated[
        list[Path] | None, typer.Option(help="A .lib file of a cell library; repeat it for all its files.")
    ] = None,
    model: SizedFor = None,
    plot: Annotated[Path | None, typer.Option(help="Write a bar chart of the parts to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Synthesise a design with Yosys: resources of each part, their share of a board, and logic depth."""
    if plot is not None:
        require_plots(plot)
    console = Console(stderr=True)
    with _bar(console) as bar:
        task = bar.add_task("generating", total=None)
        report = synthesise(
            config,
            target,
            liberty=liberty or (),
            model=model,
            progress=lambda design, done, of: bar.update(task, description=design, completed=done, total=of),
        )
    if as_json:
        typer.echo(json.dumps(report.figures()))
    else:
        for result in report.results.values():
            _print(result, report)
        Console().print(f"{report.seconds} s, {report.reused} modules from the cache")
    if plot is not None:
        report.plot(plot)


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("modules"))
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


def _print(result: Synthesis, report: SynthesisReport) -> None:
    console = _wide()
    console.print(_parts_table(result, report.keys, report.target))
    if report.board:
        console.print(_share_table(result.total, report.board, report))
        if section := report.even_floorplan:
            numbers = ", ".join(f"{key}: {list(value)}" for key, value in section if value is not None)
            console.print(f"the dies are more alike with\nfloorplan: {{{numbers}}}\n", soft_wrap=True)
    console.print(_paths_table(result.deepest()))


def _wide() -> Console:
    """A console as wide as the tables: narrow ones would lose digits."""
    console = Console()
    return console if console.width >= WIDTH else Console(width=WIDTH)


def _parts_table(result: Synthesis, keys: Sequence[str], target: str) -> Table:
    """Each part once; the counts of all its copies, without what it places, and of one copy with that."""
    table = Table(title=f"{result.parts[0].name} on {target}: all copies of a part alone, and one with what it places")
    table.add_column("part", no_wrap=True)
    for heading in ("copies", *keys, f"one: {keys[0]}", "levels"):
        table.add_column(heading.replace("_", " "), justify="right", no_wrap=True)
    parts = sorted(result.parts, key=lambda p: -getattr(p.own, keys[0]) * p.copies)
    for part in parts[:SHOWN_PARTS]:
        _parts_row(table, part.name, f"{part.copies:,}", part.own * part.copies, part.total, part.levels, keys)
    if rest := parts[SHOWN_PARTS:]:
        own = sum((part.own * part.copies for part in rest), Resources())
        _parts_row(table, f"{len(rest)} smaller ones", "", own, None, max(part.levels for part in rest), keys)
    table.add_section()
    _parts_row(table, "total", "", result.total, None, result.levels, keys)
    return table


def _parts_row(
    table: Table, name: str, copies: str, own: Resources, one: Resources | None, levels: int, keys: Sequence[str]
) -> None:
    counts = [_number(getattr(own, key)) for key in keys]
    table.add_row(name, copies, *counts, _number(getattr(one, keys[0])) if one else "", str(levels))


def _share_table(total: Resources, board: Board, report: SynthesisReport) -> Table:
    table = Table("", *FPGA, title=f"share of {board.name} ({board.part})")
    for name, of in board.regions(report.ports):
        table.add_row(name, *(f"{share:.1%}" for share in report.shares(of, total).values()))
    for die, (held, has) in report.dies.items():
        table.add_row(f"{die}, what the floorplan puts there", *(f"{s:.1%}" for s in report.shares(has, held).values()))
    return table


def _paths_table(paths: Sequence[tuple[str, LogicPath]]) -> Table:
    table = Table(title=f"deepest paths, those above {LEVELS} levels first ({len(paths)})")
    table.add_column("levels", justify="right")
    for heading in ("part", "from", "to"):
        table.add_column(heading, overflow="fold")
    for name, path in paths[:SHOWN_PATHS]:
        table.add_row(str(path.levels), name, path.start, path.end)
    return table


def _number(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) and value % 1 else f"{int(value):,}"
