"""`einloom allocate`: order, addresses and replacement of a graph's tensors in a scratchpad."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from einloom.allocation import SECONDS, AllocationReport
from einloom.allocation import allocate as search


def allocate(
    graph: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped graph.")],
    words: Annotated[int, typer.Option("--words", metavar="N", help="Words of the scratchpad.")],
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", help="Seconds of computing that the search may take.")
    ] = SECONDS,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the schedule as JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find the order of operators, the addresses and the moves with the fewest words moved, beside a greedy one."""
    with Console(stderr=True).status("solving integer programs"):
        report = search(graph, words, seconds=seconds)
    if output is not None:
        report.write(output)
        Console(stderr=True).print(Text(f"wrote {output}"))
    if as_json:
        typer.echo(json.dumps(report.figures()))
        return
    console = Console()
    for table in (_schedule(report), _traffic(report)):
        console.print(table)
    console.print(Text(_verdict(report)))


def _schedule(report: AllocationReport) -> Table:
    title = f"{report.graph.name} in {report.words:,} words"
    table = Table("operator", "comes in", "is made", "goes out", "is dropped", title=title, title_justify="left")
    for step in report.best.schedule:
        stays_out = [tensor for tensor in step.drops if tensor not in step.stores]
        cells = [_at(report, step.loads), _at(report, step.places), ", ".join(step.stores), ", ".join(stays_out)]
        table.add_row(*map(Text, [step.operator, *cells]))
    return table


def _at(report: AllocationReport, places: dict[str, int]) -> str:
    """Tensors with their first and last words."""
    sizes = report.graph.sizes
    return ", ".join(f"{tensor} {at:,}-{at + sizes[tensor] - 1:,}" for tensor, at in places.items())


def _traffic(report: AllocationReport) -> Table:
    title = f"Words moved; any schedule moves {report.graph.compulsory:,}"
    table = Table(title=title, title_justify="left")
    for heading in ("allocator", "in", "out", "extra", "less than", "words used", "seconds"):
        table.add_column(heading, justify="left" if heading == "allocator" else "right")
    for allocation in (report.best, *report.greedy):
        traffic, best = allocation.traffic, report.best.traffic.extra
        less = f"{1 - best / traffic.extra:.1%}" if allocation is not report.best and traffic.extra else ""
        table.add_row(
            allocation.method,
            *(f"{n:,}" for n in (traffic.loaded, traffic.stored, traffic.extra)),
            less,
            f"{traffic.peak:,}",
            f"{allocation.seconds:.2f}",
        )
    return table


def _verdict(report: AllocationReport) -> str:
    best = report.best
    proof = "no schedule moves less" if best.proven else f"no schedule has less than {best.bound:,} extra words"
    enough = f"; with {best.enough:,} words no tensor would have to leave" if best.enough is not None else ""
    return f"{proof}{enough}; {report.graph.largest_footprint:,} are the least that any schedule needs"
