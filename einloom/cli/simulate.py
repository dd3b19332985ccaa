"""`einloom simulate`: the engine's cocotb benches on a config's Verilog."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from einloom.cli.figures import Figure, print_figures
from einloom.cli.locate import find_config
from einloom.generators.registry import generate as generate_design
from einloom.spec.errors import CheckFailed, InputError


def simulate(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped config.")],
    seed: Annotated[int, typer.Option(help="Of the random jobs, their data and the stalls.")] = 1,
    cases: Annotated[int, typer.Option(help="Random jobs, beside the corner cases.")] = 40,
    waves: Annotated[bool, typer.Option("--waves", help="Leave a VCD trace in this folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a design's benches in Verilator and compare every result with the golden model."""
    if seed < 0 or cases < 1:
        raise InputError("--seed must be 0 or more and --cases 1 or more")
    chosen = find_config(config)
    console = Console(stderr=True)
    # The simulator's toolchain is needed here only.
    from einloom.sim.simulate import simulate as run_benches

    started = time.perf_counter()
    figures: dict[str, Figure] = {"engine": chosen.engine.kind, "seed": seed}
    try:
        with console.status("building and simulating"):
            result = run_benches(generate_design(chosen), seed=seed, cases=cases, waves=waves)
    except CheckFailed as error:
        if as_json:
            typer.echo(json.dumps({**figures, "bit_exact": False, "error": str(error)}))
        rerun = f"einloom simulate {config} --seed {seed} --cases {cases} --waves"
        raise CheckFailed(f"{error}; rerun with waves: {rerun}") from error
    figures |= {
        "cases": result.cases,
        "bit_exact": True,
        "cycles": result.cycles,
        "utilisation": round(result.utilisation, 4),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if waves:
        figures["waves"] = str(Path.cwd() / f"{chosen.name}.vcd")
    print_figures(figures, title="RTL against golden", column=chosen.name, as_json=as_json)
