"""`einloom run`: text from a model, every operation of which is computed by the generated core."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from einloom.catalogue import load_config, load_model
from einloom.cli.progress import TokenProgress
from einloom.compiled import compile
from einloom.run_report import RunReport
from einloom.running import Backend, check_backend, check_sampling, open, require_simulation
from einloom.spec.errors import CheckFailed


def run(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of a Hugging Face Llama, or the name of a shipped model; shakespeare-1m if left out."
        ),
    ] = None,
    config: Annotated[
        str, typer.Option("-c", "--config", help="A YAML file, or the name of a shipped config.")
    ] = "default",
    prompt: Annotated[str, typer.Option("-p", "--prompt", help="The text to continue.")] = "ROMEO:",
    tokens: Annotated[int, typer.Option("-n", "--tokens", help="Tokens to generate, at most.")] = 32,
    backend: Annotated[
        Backend,
        typer.Option(
            help="rtl: simulate the design's Verilog; golden: its golden model alone; kernel: simulate the "
            "kernel that Vitis gets, under a card's host program; card: the card."
        ),
    ] = Backend.rtl,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token, above 0 samples.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    timeline: Annotated[
        Path | None,
        typer.Option(
            help="Draw what each unit did for the last token into this SVG or PNG file, or JSON for Perfetto."
        ),
    ] = None,
    xclbin: Annotated[Path | None, typer.Option(help="What to load into the card.")] = None,
    board: Annotated[str, typer.Option(help="The card: u280 or u55c.")] = "u280",
    device: Annotated[int, typer.Option(help="Which card, as XRT counts them.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Generate text with a design, check it bit for bit, and say what it costs."""
    console = Console(stderr=True)
    chosen = load_config(config)
    _ = chosen.core_section
    check_sampling(tokens, temperature, seed)
    check_backend(backend, xclbin, board)
    if timeline is not None:
        require_simulation(backend)
    loaded = load_model(model)
    loaded.encode(prompt)
    try:
        with console.status("compiling the model") as status:
            compiled = compile(loaded, chosen)
            opened = open(compiled, backend, xclbin=xclbin, board=board, device=device, status=status.update)
        with opened, TokenProgress(console, lambda: opened.cycles, tokens) as progress:
            report = opened.generate_text(prompt, tokens, temperature=temperature, seed=seed, on_token=progress.advance)
            if timeline is not None:
                opened.draw_timeline(timeline)
    except CheckFailed as error:
        if as_json:
            typer.echo(json.dumps({"bit_exact": False, "error": str(error)}))
        raise
    _tell(report, as_json=as_json)


def _tell(report: RunReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report)))
        return
    typer.echo(report.text)
    for table in report.tables():
        Console().print(table)
