"""`einloom quantize`: compress the linear layers of a model and report what that costs in fidelity."""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from einloom.cli.locate import find_model
from einloom.mapping.compress.fidelity import Fidelity, measure, total
from einloom.mapping.compress.quantize import check_group
from einloom.mapping.compress.quantize import quantize as quantize_matrix
from einloom.mapping.compress.storage import KEY, write_quantized
from einloom.models.importer.linear_layers import linear_layers
from einloom.models.importer.model_weights import ModelWeights, open_model
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS, Format, format_named
from einloom.spec.quantized import QuantizedTensor

DEFAULT_FORMAT = "bitmod-fp4"
BAR_AFTER = 2.0  # seconds of work without a progress bar


def quantize(
    model: Annotated[
        Path,
        typer.Argument(
            help="A .safetensors file, a folder with model.safetensors or its shards' index, or a shipped model's name."
        ),
    ],
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            help=f"Weight format, or several separated by commas: {', '.join(FORMATS)}.",
            show_default=DEFAULT_FORMAT,
        ),
    ] = None,
    group: Annotated[int, typer.Option(min=1, help="Consecutive inputs that share a scale.")] = 128,
    scale_search: Annotated[
        bool, typer.Option("--scale-search", help="Try 26 scales per group and keep the best: less error, more time.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the quantised model to this safetensors file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Quantise the linear layers of a model; report bits per weight and normalised squared error, best first."""
    start = monotonic()
    formats = _formats(weights or [DEFAULT_FORMAT])
    opened = open_model(find_model(model))
    if KEY in opened.metadata:
        raise InputError(f"{model}: is quantised already; start from the original model")
    _check_output(output, opened, formats)
    found, tensors = _quantize_layers(opened, formats, group, scale_search, keep=output is not None)
    if output is not None:
        write_quantized(output, tensors, opened)
    totals = {format.name: total(f for f in found if f.format == format.name) for format in formats}
    if as_json:
        settings = {"model": str(model), "group": group, "scale_search": scale_search}
        settings["output"] = None if output is None else str(output)
        typer.echo(json.dumps(_report(found, totals) | settings | {"seconds": round(monotonic() - start, 3)}))
    else:
        _print_tables(found, totals)
        if output is not None:
            Console(stderr=True).print(Text(f"wrote {output}"))


def _formats(names: Sequence[str]) -> list[Format]:
    """Formats in the order of their first mention."""
    words = [word.strip() for name in names for word in name.split(",")]
    return [format_named(word) for word in dict.fromkeys(words)]


def _check_output(output: Path | None, model: ModelWeights, formats: Sequence[Format]) -> None:
    """Refuse before the work what would fail, or do harm, after it."""
    if output is None:
        return
    if len(formats) > 1:
        raise InputError(f"{output}: takes one format, but --weights names {len(formats)}: write one file for each")
    if output.is_dir():
        raise InputError(f"{output}: is a folder: give the name of a file")
    if output.resolve() in {file.path.resolve() for file in model.files.values()}:
        raise InputError(f"{output}: is the model itself: give another name")


def _quantize_layers(
    model: ModelWeights, formats: Sequence[Format], group: int, scale_search: bool, *, keep: bool
) -> tuple[list[Fidelity], dict[str, QuantizedTensor]]:
    """The fidelity of each layer in each format and, with `keep`, the quantised tensors of the last format."""
    names = linear_layers(model)
    for name in names:
        try:
            check_group(model.entry(name).shape[1], group)
        except InputError as error:
            raise InputError(f"{model.files[name].path}: tensor {name}: {error}") from error
    found, tensors = [], {}
    work = sum(prod(model.entry(name).shape) for name in names) * len(formats)
    with _progress_bar("quantising", work) as advance:
        for name in names:
            matrix = model.read_float32(name)
            for format in formats:
                tensor = quantize_matrix(matrix, format, group, scale_search=scale_search)
                found.append(measure(name, matrix, tensor))
                if keep:
                    tensors[name] = tensor
                advance(matrix.size)
    return found, tensors


@contextmanager
def _progress_bar(label: str, work: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr once the work has lasted two seconds; the function it gives adds to what is done."""
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(label, total=work)
    late = threading.Timer(BAR_AFTER, bar.start)
    late.start()
    try:
        yield lambda done: bar.advance(task, done)
    finally:
        late.cancel()
        late.join()
        if bar.live.is_started:
            bar.stop()


def _report(found: Sequence[Fidelity], totals: dict[str, Fidelity]) -> dict[str, Any]:
    """What --json prints; `total` is that of the first format, `totals` has all."""
    figures = {name: _figures(whole) for name, whole in totals.items()}
    tensors = [{"name": f.name, "format": f.format} | _figures(f) for f in found]
    return {"tensors": tensors, "total": next(iter(figures.values())), "totals": figures}


def _figures(fidelity: Fidelity) -> dict[str, float]:
    return {"bits_per_weight": fidelity.bits_per_weight, "nmse": fidelity.nmse}


def _print_tables(found: Sequence[Fidelity], totals: dict[str, Fidelity]) -> None:
    console = Console(file=sys.stdout)
    for name, whole in totals.items():
        layers = sorted((f for f in found if f.format == name), key=lambda f: f.nmse)
        table = _table("tensor", f"{name}, best tensor first")
        for f in layers:
            table.add_row(Text(f.name), *_cells(f), end_section=f is layers[-1])
        table.add_row("total", *_cells(whole))
        console.print(table)
    if len(totals) > 1:
        table = _table("format", "in total")
        for whole in sorted(totals.values(), key=lambda f: f.nmse):
            table.add_row(whole.format, *_cells(whole))
        console.print(table)


def _table(first: str, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    table.add_column("bits/weight", justify="right")
    table.add_column("NMSE", justify="right")
    return table


def _cells(fidelity: Fidelity) -> tuple[str, str]:
    return f"{fidelity.bits_per_weight:.4f}", f"{fidelity.nmse:.3e}"
