"""`einloom cascade`: the passes and the footprints of an Einsum cascade."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from einloom.cascades import AnalysedCascade
from einloom.cascades import cascade as analyse


def cascade(
    file: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped cascade.")],
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the graph with its passes into a .png or .svg file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count the passes that any mapping of a cascade must make, say why, and what must stay live."""
    report = analyse(file)
    if plot is not None:
        report.plot(plot)
        Console(stderr=True).print(Text(f"wrote {plot}"))
    if as_json:
        typer.echo(json.dumps(report.as_json()))
        return
    console = Console()
    console.print(_einsums(report))
    console.print(_passes(report))
    for reason in report.why:
        console.print(Text(reason))
    console.print(_footprints(report))


def _einsums(report: AnalysedCascade) -> Table:
    ranks = [entry for entry in report.passes.ranks if entry.count.constant != 1]
    table = Table(title=report.cascade.name, title_justify="left")
    table.add_column("Einsum", overflow="fold")
    for entry in ranks:
        table.add_column(f"pass over {entry.rank}", justify="right")
    table.add_column("map")
    table.add_column("reduce")
    for einsum in report.cascade.einsums:
        numbers = [entry.pass_of(einsum) for entry in ranks]
        reduce = ", ".join(f"{r.operator}({', '.join(r.variables)})" for r in einsum.reductions)
        cells = ["" if number is None else str(number) for number in numbers]
        table.add_row(*map(Text, [einsum.text, *cells, " ".join(einsum.map_operators), reduce]))
    return table


def _passes(report: AnalysedCascade) -> Table:
    table = Table("rank", "passes", "", title="Passes", title_justify="left")
    for entry in report.passes.ranks:
        table.add_row(
            entry.rank,
            str(entry.count),
            f"tiles: {', '.join(map(_cut, entry.family.splits))}" * bool(entry.family.splits),
        )
    for entry in report.passes.tiles:
        table.add_row(f"  {entry.rank}", str(entry.count), "with the other tile ranks fixed")
    return table


def _cut(ranks: tuple[str, ...]) -> str:
    return " x ".join(ranks)


def _footprints(report: AnalysedCascade) -> Table:
    order = " > ".join(report.footprints.order)
    table = Table("tensor", "ranks", "live elements", title=f"Live with the loops {order}", title_justify="left")
    for tensor, size in report.footprints.live.items():
        kind = f"[{', '.join(report.cascade.tensors[tensor])}]" + " input" * (tensor in report.cascade.inputs)
        table.add_row(*map(Text, [tensor, kind, str(size)]))
    return table
