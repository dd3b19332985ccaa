"""`einloom fpga`: the folder from which Vitis builds a kernel; `einloom check`: what is wrong with such a folder."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from einloom.cli.options import SizedFor
from einloom.kernels import KernelReport, kernel
from einloom.kernels import check as check_folder
from einloom.spec.errors import CheckFailed


def fpga(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config, with a core.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the kernel.")],
    board: Annotated[str, typer.Option(help="The card: u280 or u55c.")] = "u280",
    clock: Annotated[int, typer.Option(help="In MHz.")] = 300,
    slr: Annotated[
        int | None, typer.Option(help="The die that holds the whole kernel; all of them if left out.")
    ] = None,
    model: SizedFor = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the folder in which `make` builds an xclbin, and check it."""
    _tell(kernel(config, output, board=board, clock_mhz=clock, slr=slr, model=model), as_json=as_json)


def check(
    folder: Annotated[Path, typer.Argument(help="A folder that `einloom fpga` wrote.")],
    program: Annotated[Path | None, typer.Option(help="Also: does what `einloom compile` wrote here fit?")] = None,
    xclbin: Annotated[Path | None, typer.Option(help="Also: was this built from the folder's config?")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a kernel folder without the vendor's tools: XML, Tcl, Verilog, memory banks, floorplan, Makefile."""
    _tell(check_folder(folder, program=program, xclbin=xclbin), as_json=as_json)


def _tell(report: KernelReport, *, as_json: bool) -> None:
    """Print the checks; CheckFailed when one has failed."""
    figures = report.figures()
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        table = Table("check", "verdict", "")
        for finding in report.findings:
            table.add_row(finding.check, finding.verdict, "\n".join(finding.problems) or finding.skipped or "")
        Console().print(table)
        typer.echo("  ".join(f"{name}: {value}" for name, value in figures.items() if name != "checks"))
    if report.failed:
        raise CheckFailed(f"{report.folder}: {', '.join(report.failed)} failed")
