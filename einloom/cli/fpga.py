"""`einloom fpga`: the folder from which Vitis builds a kernel; `einloom check`: what is wrong with such a folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from einloom.cli.locate import find_config
from einloom.fpga.boards import BOARDS
from einloom.fpga.check.folder import check_folder
from einloom.fpga.check.report import Finding
from einloom.fpga.kernel.folder import kernel_folder, write_kernel_folder
from einloom.generators.registry import generate_all
from einloom.sim.verilator import Toolchain
from einloom.spec.errors import CheckFailed, InputError


def fpga(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config, with a core.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the kernel.")],
    board: Annotated[str, typer.Option(help="The card: u280 or u55c.")] = "u280",
    clock: Annotated[int, typer.Option(help="In MHz.")] = 300,
    slr: Annotated[
        int | None, typer.Option(help="The die that holds the whole kernel; all of them if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the folder in which `make` builds an xclbin, and check it."""
    if board not in BOARDS:
        raise InputError(f"--board must be one of {', '.join(BOARDS)}, not {board!r}")
    chosen = find_config(config)
    _ = chosen.core_section
    (design,) = generate_all(chosen)
    files = kernel_folder(design, BOARDS[board], clock_mhz=clock, slr=slr)
    write_kernel_folder(output, files)
    _tell(check_folder(output, Toolchain().lint), {"folder": str(output), "files": len(files)}, as_json=as_json)


def check(
    folder: Annotated[Path, typer.Argument(help="A folder that `einloom fpga` wrote.")],
    program: Annotated[Path | None, typer.Option(help="Also: does what `einloom compile` wrote here fit?")] = None,
    xclbin: Annotated[Path | None, typer.Option(help="Also: was this built from the folder's config?")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a kernel folder without the vendor's tools: XML, Tcl, Verilog, memory banks, floorplan, Makefile."""
    found = check_folder(folder, Toolchain().lint, program=program, xclbin=xclbin)
    _tell(found, {"folder": str(folder)}, as_json=as_json)


def _tell(findings: Sequence[Finding], figures: dict[str, str | int], *, as_json: bool) -> None:
    """Print the checks; CheckFailed when one has failed."""
    failed = [finding.check for finding in findings if finding.failed]
    if as_json:
        checks = [
            {"check": f.check, "verdict": f.verdict, "problems": f.problems, "skipped": f.skipped} for f in findings
        ]
        typer.echo(json.dumps(figures | {"checks": checks}))
    else:
        table = Table("check", "verdict", "")
        for finding in findings:
            table.add_row(finding.check, finding.verdict, "\n".join(finding.problems) or finding.skipped or "")
        Console().print(table)
        typer.echo("  ".join(f"{name}: {value}" for name, value in figures.items()))
    if failed:
        raise CheckFailed(f"{figures['folder']}: {', '.join(failed)} failed")
