"""`einloom generate`: a config becomes Verilog and a manifest."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from einloom.cli.locate import find_config
from generators.design import MANIFEST
from generators.registry import generate as generate_design


def generate(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the Verilog and its manifest.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the Verilog of a config, and the manifest that describes it."""
    started = time.perf_counter()
    design = generate_design(find_config(config))
    design.write(output)
    seconds = time.perf_counter() - started
    manifest = design.manifest
    figures: dict[str, str | int | float] = {
        "verilog": str(output / manifest.verilog),
        "manifest": str(output / MANIFEST),
        "bytes": len(design.verilog.encode()),
        "modules": len(manifest.modules),
        "register_bits": manifest.register_bits,
        "memory_bits": manifest.memory_bits,
        "seconds": round(seconds, 3),
    }
    if as_json:
        typer.echo(json.dumps(figures))
        return
    table = Table("", manifest.name, title="Generated")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
    Console().print(table)
