"""`einloom quantize`: compress the linear layers of a model and report what that costs in fidelity."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from einloom.catalogue import load_model
from einloom.choice import core_for
from einloom.cli.options import Calibration
from einloom.quantized_for_core import check_output, quantize_for_core
from einloom.quantized_model import DEFAULT_FORMAT, Fidelity, QuantizedModel
from einloom.quantized_model import quantize as quantize_model
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS, NEIGHBOURS, SPARSE_OF, format_named

USUAL_GROUP = 128
BAR_AFTER = 2.0  # seconds of work without a progress bar


@dataclass(frozen=True)
class Training:
    """Steps of distillation, 0 for none, and the seed of the text's order."""

    steps: int
    seed: int


def quantize(
    model: Annotated[
        Path,
        typer.Argument(
            help="A .safetensors file, a folder with model.safetensors or its shards' index, or a shipped model's "
            "name; for a core a folder, a GGUF file, or a shipped model's name."
        ),
    ],
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT",
            help=f"Weight format, or several separated by commas: {', '.join(FORMATS)}. For a core one of its formats, "
            "or auto:BITS for a format for each matrix; with --distil also a file of -o, which is trained further.",
            show_default=f"{DEFAULT_FORMAT}, or the core's first",
        ),
    ] = None,
    sparsity: Annotated[
        str | None,
        typer.Option(
            metavar="N:M",
            help="Keep N of M neighbouring inputs' weights, N a power of two and M 4, 8 or 16: the largest, or with "
            "a calibration those that matter most. The formats' names then end in -NofM.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "-c",
            "--config",
            help="Quantize for this core, a YAML file or a shipped config: in its sizes, with its cache, calibrated. "
            "`run` and `compile` take what -o writes as --weights.",
        ),
    ] = None,
    calibration: Calibration = None,
    distil: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEPS",
            help="Then train codes, steps and norms on the calibration's text, so that the quantized model predicts "
            "what the float model does: so many steps of 1,024 tokens. Without a calibration on conversations that the "
            "model writes. For a core; needs the extra `distil`.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of the order of the text in which --distil trains, and of conversations.", show_default="0"
        ),
    ] = None,
    group: Annotated[int, typer.Option(min=1, help="Consecutive inputs that share a scale.")] = USUAL_GROUP,
    scale_search: Annotated[
        bool, typer.Option("--scale-search", help="Try 26 scales per group and keep the best: less error, more time.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the quantized model to this safetensors file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Quantize the linear layers of a model; report bits per weight and normalised squared error, best first."""
    pattern = None if sparsity is None else _pattern(sparsity)
    for_core = config is not None or calibration is not None
    if pattern is not None and (weights or not for_core):
        weights = _sparse(weights or [DEFAULT_FORMAT], pattern)
        pattern = None
    if config is not None or calibration is not None:
        if group != USUAL_GROUP or scale_search or len(weights or []) > 1:
            raise InputError(
                "for a core give one --weights, and neither --group nor --scale-search: the core has its own"
            )
        if seed is not None and distil is None:
            raise InputError("--seed is the order in which --distil trains: give --distil STEPS too, or leave it out")
        training = Training(distil or 0, seed or 0)
        _for_core(model, config, (weights or [""])[0], pattern, calibration, output, training, as_json=as_json)
        return
    if distil is not None or seed is not None:
        raise InputError(
            "--distil, with its --seed, is for a core: give -c CONFIG, and with --calibration FILE a text to train on"
        )
    with _progress_bar("quantizing") as progress:
        quantized = quantize_model(
            model, weights or DEFAULT_FORMAT, group=group, scale_search=scale_search, output=output, progress=progress
        )
    if as_json:
        typer.echo(json.dumps(quantized.figures() | {"output": None if output is None else str(output)}))
    else:
        _print_tables(quantized)
        if output is not None:
            Console(stderr=True).print(Text(f"wrote {output}"))


def _pattern(sparsity: str) -> tuple[int, int]:
    """N and M."""
    kept, colon, of = sparsity.partition(":")
    if not (colon and kept.isdecimal() and of.isdecimal() and int(of) in NEIGHBOURS):
        raise InputError(f"--sparsity is N:M with an M of {', '.join(map(str, NEIGHBOURS))}, not {sparsity!r}")
    return int(kept), int(of)


def _sparse(weights: list[str], pattern: tuple[int, int]) -> list[str]:
    """The sparse forms of formats."""
    names = [name for several in weights for name in several.split(",")]
    for name in names:
        if name not in SPARSE_OF:
            raise InputError(f"{name!r} has no sparse form; these have one: {', '.join(SPARSE_OF)}")
    return [format_named("{}-{}of{}".format(name, *pattern)).name for name in names]


def _sparse_of_core(core: Config, pattern: tuple[int, int]) -> str:
    """The sparse form that the first of the core's formats stores which has this pattern."""
    forms = {format_named(name).stored.name: name for name in _sparse(list(SPARSE_OF), pattern)}
    formats = core.gemm.weight_formats
    for format in formats:
        if format.name in forms:
            return forms[format.name]
    raise InputError(
        "--sparsity {}:{}: {} has none of {}, but {}".format(
            *pattern, core.name, ", ".join(forms), ", ".join(f.name for f in formats)
        )
    )


def _for_core(
    model: Path,
    config: str | None,
    weights: str,
    pattern: tuple[int, int] | None,
    calibration: Path | None,
    output: Path | None,
    training: Training,
    *,
    as_json: bool,
) -> None:
    console = Console(stderr=True)
    if output is not None:
        check_output(output)
    loaded = load_model(model)
    chosen, reason = core_for(loaded, config)
    if reason:
        console.print(f"{chosen.name}: {reason}", soft_wrap=True, markup=False, highlight=False)
    if pattern is not None:
        weights = _sparse_of_core(chosen, pattern)
    with console.status(f"quantizing for {chosen.name}") as status:
        found = quantize_for_core(
            loaded,
            chosen,
            weights=weights,
            calibration=calibration,
            output=output,
            distil=training.steps,
            seed=training.seed,
            on_step=lambda step, loss: status.update(f"step {step + 1} of {training.steps}: KL {loss:.4f} nats"),
        )
    if as_json:
        typer.echo(json.dumps(found.figures() | {"output": None if output is None else str(output)}))
        return
    table = _table("tensor", f"for {found.config}, best tensor first")
    table.add_column("format")
    layers = sorted(found.fidelities, key=lambda f: f.nmse)
    for f in layers:
        table.add_row(Text(f.name), *_cells(f), f.format, end_section=f is layers[-1])
    table.add_row("total", *_cells(found.total), found.total.format)
    Console(file=sys.stdout).print(table)
    if found.distilled is not None:
        before, after = found.distilled
        kept = "" if after < before else ": no better, so the model stays as it was"
        Console(file=sys.stdout).print(f"KL on text that was held out: {before:.4f} nats, distilled {after:.4f}{kept}")
    if output is not None:
        console.print(Text(f"wrote {output}"))


@contextmanager
def _progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr once the work has lasted two seconds; the function it gives is told what is done, of how much."""
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(label, total=None)
    late = threading.Timer(BAR_AFTER, bar.start)
    late.start()
    try:
        yield lambda done, of: bar.update(task, completed=done, total=of)
    finally:
        late.cancel()
        late.join()
        if bar.live.is_started:
            bar.stop()


def _print_tables(quantized: QuantizedModel) -> None:
    console, totals = Console(file=sys.stdout), quantized.totals
    for name, whole in totals.items():
        layers = sorted((f for f in quantized.fidelities if f.format == name), key=lambda f: f.nmse)
        table = _table("tensor", f"{name}, best tensor first")
        for f in layers:
            table.add_row(Text(f.name), *_cells(f), end_section=f is layers[-1])
        table.add_row("total", *_cells(whole))
        console.print(table)
    if quantized.left_out:
        console.print(Text(f"left as they are: {', '.join(quantized.left_out)}"))
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
