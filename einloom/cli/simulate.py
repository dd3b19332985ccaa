"""`einloom simulate`: the engine's cocotb benches on a config's Verilog."""

import json
from typing import Annotated

import typer
from rich.console import Console

from einloom.catalogue import load_config
from einloom.cli.figures import print_figures
from einloom.simulation import simulate as simulate_engine
from einloom.spec.errors import CheckFailed


def simulate(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config.")],
    seed: Annotated[int, typer.Option(help="Of the random jobs, their data and the stalls.")] = 1,
    cases: Annotated[
        int | None, typer.Option(help="Random jobs, beside the corner cases; unless told 200, or 60 of attention.")
    ] = None,
    waves: Annotated[
        bool,
        typer.Option("--waves", help="Leave the waves of all jobs in this folder: FST, or VCD without zlib and lz4."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a design's benches in Verilator and compare every result with the golden model."""
    console = Console(stderr=True)
    try:
        with console.status("generating and building") as status:

            def tell(compared: int, cycles: int) -> None:
                if compared:
                    status.update(f"simulating: {compared} cases compared, {cycles:,} cycles")

            report = simulate_engine(config, seed=seed, cases=cases, waves=waves, on_progress=tell)
    except CheckFailed as error:
        if as_json:
            kind = load_config(config).engine.kind
            typer.echo(json.dumps({"engine": kind, "seed": seed, "bit_exact": False, "error": str(error)}))
        raise
    print_figures(report.figures(), title="RTL against golden", column=report.config, as_json=as_json)
