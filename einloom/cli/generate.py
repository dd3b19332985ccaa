"""`einloom generate`: a config becomes Verilog and a manifest."""

import time
from pathlib import Path
from typing import Annotated

import typer

from einloom.cli.figures import Figure, print_figures
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
    figures: dict[str, Figure] = {
        "verilog": str(output / manifest.verilog),
        "manifest": str(output / MANIFEST),
        "bytes": len(design.verilog.encode()),
        "modules": len(manifest.modules),
        "register_bits": manifest.register_bits,
        "memory_bits": manifest.memory_bits,
        "seconds": round(seconds, 3),
    }
    print_figures(figures, title="Generated", column=manifest.name, as_json=as_json)
