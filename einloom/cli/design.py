"""`einloom design`: what to build for a model on a board."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from einloom.cli.options import Model
from einloom.designing import SHARE, SHOWN, DesignReport, label
from einloom.designing import design as choose
from einloom.plots import require_plots


def design(
    model: Model = None,
    board: Annotated[str, typer.Option("--board", help="The board: u280, u55c, v80 or kv260.")] = "u280",
    goal: Annotated[
        str,
        typer.Option(
            "--goal",
            help="What is to be fast: decode, a token; prefill, the first token behind a prompt; batch, several tokens "
            "at once.",
        ),
    ] = "decode",
    context: Annotated[
        int | None,
        typer.Option("--context", metavar="N", help="Positions to choose for.", show_default="1024, or the model's"),
    ] = None,
    weights: Annotated[
        str,
        typer.Option("--weights", metavar="FORMAT", help="Format of the weights.", show_default="one for the model"),
    ] = "",
    cache_bits: Annotated[int, typer.Option("--cache-bits", metavar="N", help="Of keys and values: 8 or 4.")] = 8,
    engine: Annotated[
        str,
        typer.Option("--engine", metavar="KIND", help="sparse_dsp, bitmod, lut or int_mac.", show_default="the best"),
    ] = "",
    share: Annotated[
        float, typer.Option("--share", metavar="X", help="Most of each resource that shell and ports leave, 0 to 1.")
    ] = SHARE,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the config to this file.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw speed against LUTs into an .svg, .png or .pdf.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Choose the fastest core for a model that a board has room for, and say why."""
    if plot is not None:
        require_plots(plot)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("cores simulated", total=None)
        report = choose(
            model,
            board,
            goal=goal,
            context=context,
            weights=weights,
            cache_bits=cache_bits,
            engine=engine,
            share=share,
            name=_config_name(output),
            advance=lambda done, of: bar.update(task, completed=done, total=of),
        )
    if output is not None:
        report.write(output)
        Console(stderr=True).print(Text(f"wrote {output}"))
    if plot is not None:
        report.plot(plot)
    if as_json:
        typer.echo(json.dumps(report.figures()))
        return
    console = Console()
    for table in (_summary(report), _resources(report), _others(report)):
        console.print(table)
    if output is None:
        typer.echo(report.text, nl=False)


def _config_name(output: Path | None) -> str | None:
    """The config's name, of its file's where that is a name."""
    stem = "" if output is None else output.stem
    plain = stem.replace("-", "")
    return stem if plain.isalnum() and plain.isascii() and stem == stem.lower() and stem[:1].isalpha() else None


def _summary(report: DesignReport) -> Table:
    wish = report.wish
    title = f"{report.model} on the {report.board.name}, for {wish.goal}"
    table = Table("", f"{wish.context:,} positions", title=title, title_justify="left")
    table.add_row("chosen", label(report.choice.config))
    table.add_row("weights, keys and values", f"{wish.format.name}, {wish.cache_bits} bits")
    table.add_row("tokens per second", f"{report.tokens_per_second:,.1f}")
    table.add_row("time to first token", f"{report.time_to_first_token:.2f} s")
    table.add_row(
        "of the memory's peak", f"{report.share_of_memory:.1%} of {report.board.bytes_per_second / 1e9:,.0f} GB/s"
    )
    table.add_row("bound by", str(report.bound))
    table.add_row("cores that fit, simulated", f"{report.search.fits:,}, {len(report.search.tried)}")
    table.add_row("seconds", f"{report.seconds:.1f}")
    return table


def _resources(report: DesignReport) -> Table:
    binding, _ = report.choice.binding(report.board)
    table = Table(title="Resources, predicted", title_justify="left")
    for heading in ("", "core", f"{report.board.name} leaves", "share", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for name, share in report.shares.items():
        taken, left = getattr(report.choice.resources, name), getattr(report.room, name)
        table.add_row(name.upper(), f"{taken:,}", f"{left:,}", f"{share:.1%}", "binds" if name == binding else "")
    return table


def _others(report: DesignReport) -> Table:
    table = Table(title="The choice and the runners-up", title_justify="left")
    for heading in ("core", "cycles of a token", "LUT", "DSP", "BRAM36", "URAM"):
        table.add_column(heading, justify="left" if heading == "core" else "right")
    for choice in report.search.tried[: SHOWN + 1]:
        taken = choice.resources
        numbers = (f"{n:,}" for n in (round(choice.each), taken.lut, taken.dsp, taken.bram36, taken.uram))
        table.add_row(label(choice.config), *numbers)
    return table
