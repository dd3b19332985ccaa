"""`einloom synth`: what a design costs, from Yosys."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from einloom.cli.locate import find_config
from einloom.fpga.boards import BOARDS, Board
from einloom.fpga.depth import Path as LogicPath
from einloom.fpga.recipes import Recipe, cell_library, ultrascale
from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import LEVELS, Part, Synthesis, synthesise
from einloom.generators.registry import generate_all
from einloom.spec.errors import InputError
from einloom.spec.suggest import did_you_mean

CELLS = "cells"
FPGA = ("lut", "ff", "carry8", "dsp", "bram36", "uram")
LIBRARY = ("cells", "area_um2", "memory_bits")
SHOWN_PARTS, SHOWN_PATHS = 40, 20
WIDTH = 110


def synth(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config.")],
    target: Annotated[str, typer.Option(help="A board (u280, u55c), or a name for the library of --liberty.")] = "u280",
    liberty: Annotated[
        list[Path] | None, typer.Option(help="A .lib file of a cell library; repeat it for all its files.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a bar chart of the parts to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Synthesise a design with Yosys: resources of each part, their share of a board, and logic depth."""
    recipe = _recipe(target, liberty or [])
    chosen = find_config(config)
    if plot is not None:
        _require_plots(plot)
    started = time.perf_counter()
    console = Console(stderr=True)
    with console.status("generating"):
        designs = generate_all(chosen)
    results = {}
    ports = sum(bool(re.fullmatch(r"m_axi_\w+_arvalid", p.name)) for design in designs for p in design.manifest.ports)
    for design in designs:
        with _bar(console) as bar:
            task = bar.add_task(design.manifest.top, total=None)
            results[design.manifest.top] = synthesise(
                design.verilog,
                design.manifest.top,
                recipe,
                advance=lambda done, of: bar.update(task, completed=done, total=of),  # noqa: B023
            )
    seconds = round(time.perf_counter() - started, 1)
    board = BOARDS.get(target)
    if as_json:
        typer.echo(json.dumps(_as_json(target, results, seconds, board, ports)))
    else:
        for result in results.values():
            _print(result, board, ports, target)
        Console().print(f"{seconds} s, {sum(r.reused for r in results.values())} modules from the cache")
    if plot is not None:
        from einloom.cli.synth_plot import plot_parts

        plot_parts(plot, results, board)


def _recipe(target: str, liberty: Sequence[Path]) -> Recipe:
    if target in BOARDS:
        if liberty:
            raise InputError(f"--liberty is for a cell library, and --target {target} is a board: name another target")
        return ultrascale()
    if not liberty:
        near = did_you_mean(target, BOARDS)
        raise InputError(
            f"--target {target}: not a board{near}; boards: {', '.join(BOARDS)}. For a cell library, name its files "
            "with --liberty"
        )
    texts = {}
    for path in liberty:
        try:
            texts[str(path)] = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as a Liberty file: {error}") from error
    return cell_library(texts)


def _require_plots(path: Path) -> None:
    """Fail before minutes of synthesis, not after."""
    import importlib.util

    if path.suffix not in (".svg", ".png", ".pdf"):
        raise InputError(f"--plot {path}: name a file that ends in .svg, .png or .pdf")
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError('--plot needs matplotlib: pip install "einloom[docs]"')


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("modules"))
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


def _as_json(
    target: str, results: Mapping[str, Synthesis], seconds: float, board: Board | None, ports: int
) -> dict[str, object]:
    total = sum((result.total for result in results.values()), Resources())
    return {
        "target": target,
        **asdict(total),
        "shares": {name: _shares(total, of) for name, of in board.regions(ports)} if board else {},
        "levels": max(result.levels for result in results.values()),
        "parts": [_part(part) for result in results.values() for part in result.parts],
        "paths": [{"part": name, **asdict(path)} for result in results.values() for name, path in result.deepest()],
        "seconds": seconds,
        "reused": sum(result.reused for result in results.values()),
    }


def _part(part: Part) -> dict[str, object]:
    return {
        "name": part.name,
        "copies": part.copies,
        "levels": part.levels,
        "own": asdict(part.own),
        "total": asdict(part.total),
        "memories": dict(part.memories),
        "children": dict(part.children),
    }


def _print(result: Synthesis, board: Board | None, ports: int, target: str) -> None:
    console = _wide()
    console.print(_parts_table(result, FPGA if board else LIBRARY, target))
    if board:
        console.print(_share_table(result.total, board, ports))
    console.print(_paths_table(result.deepest()))


def _shares(total: Resources, of: Resources) -> dict[str, float]:
    return {key: round(getattr(total, key) / getattr(of, key), 4) for key in FPGA}


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


def _share_table(total: Resources, board: Board, ports: int) -> Table:
    table = Table("", *FPGA, title=f"share of {board.name} ({board.part})")
    for name, of in board.regions(ports):
        table.add_row(name, *(f"{share:.1%}" for share in _shares(total, of).values()))
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
