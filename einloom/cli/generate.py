"""`einloom generate`: a config becomes Verilog and a manifest."""

import time
from pathlib import Path
from typing import Annotated

import typer

from einloom.cli.figures import Figure, print_figures
from einloom.cli.locate import find_config
from einloom.generators.design import MANIFEST, Design
from einloom.generators.registry import generate_all

ATTENTION = "attention"  # the folder of the attention engine beside a GEMM engine


def generate(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the Verilog and its manifest.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the Verilog of a config, and the manifest that describes it."""
    started = time.perf_counter()
    design, *beside = generate_all(find_config(config))
    design.write(output)
    figures = _figures(design, output)
    for attention in beside:
        attention.write(output / ATTENTION)
        figures |= {f"{ATTENTION}_{name}": value for name, value in _figures(attention, output / ATTENTION).items()}
    figures["seconds"] = round(time.perf_counter() - started, 3)
    print_figures(figures, title="Generated", column=design.manifest.name, as_json=as_json)


def _figures(design: Design, folder: Path) -> dict[str, Figure]:
    manifest = design.manifest
    return {
        "verilog": str(folder / manifest.verilog),
        "manifest": str(folder / MANIFEST),
        "bytes": len(design.verilog.encode()),
        "modules": len(manifest.modules),
        "register_bits": manifest.register_bits,
        "memory_bits": manifest.memory_bits,
    }
