"""`einloom generate`: a config becomes Verilog and a manifest."""

from pathlib import Path
from typing import Annotated

import typer

from einloom.cli.figures import print_figures
from einloom.cli.options import SizedFor
from einloom.designs import generate as generate_design


def generate(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the Verilog and its manifest.")],
    model: SizedFor = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the Verilog of a config, and the manifest that describes it."""
    design = generate_design(config, model=model)
    design.write(output)
    print_figures(design.figures(output), title="Generated", column=design.manifest.name, as_json=as_json)
