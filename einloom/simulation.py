"""An engine's benches: its Verilog against its golden model."""

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from einloom.catalogue import load_config
from einloom.generators.registry import generate
from einloom.html import figures_table
from einloom.spec.config import Config
from einloom.spec.errors import CheckFailed, InputError


@dataclass(frozen=True)
class SimulationReport:
    """A run of an engine's benches in which every result was golden's in every bit.

    Attributes
    ----------
    config, engine : the config's name and its engine's kind.
    cases : jobs that were compared.
    cycles : clock cycles of all these jobs.
    utilisation : share of the cycles, 0 to 1, in which the array was at work, stalls included.
    waves : the trace that was asked for.
    """

    config: str
    engine: str
    seed: int
    cases: int
    cycles: int
    utilisation: float
    seconds: float
    waves: Path | None

    def figures(self) -> dict[str, str | int | float | bool]:
        """Figures that `einloom simulate --json` prints."""
        figures: dict[str, str | int | float | bool] = {
            "engine": self.engine,
            "seed": self.seed,
            "cases": self.cases,
            "bit_exact": True,
            "cycles": self.cycles,
            "utilisation": round(self.utilisation, 4),
            "seconds": round(self.seconds, 1),
        }
        return figures if self.waves is None else figures | {"waves": str(self.waves)}

    def _repr_html_(self) -> str:
        return figures_table(f"RTL of {self.config} against golden", self.figures())


def simulate(
    config: str | Path | Mapping[str, Any] | Config,
    *,
    seed: int = 1,
    cases: int | None = None,
    waves: bool = False,
    on_progress: Callable[[int, int], None] = lambda _cases, _cycles: None,
) -> SimulationReport:
    """Run the benches of a config's engine in Verilator, corner cases and about `cases` random jobs.

    Unless told, these are 200 of an engine for products and 60 of one for attention, whose jobs are longer.
    CheckFailed with the first wrong element and the command that runs it again when a result is not golden's. With
    `waves`, those of all jobs are left in the present folder, as FST or VCD (see docs/verification.md). `on_progress`
    is told the cases and cycles so far, a few times a second.
    """
    if seed < 0 or (cases is not None and cases < 1):
        raise InputError("--seed must be 0 or more and --cases 1 or more")
    chosen = load_config(config)
    # The simulator's toolchain is needed here only.
    from einloom.sim.engine_benches import simulate as run_benches
    from einloom.sim.verilator import waves_suffix

    trace = Path.cwd() / f"{chosen.name}{waves_suffix()}" if waves else None

    started = time.perf_counter()
    try:
        result = run_benches(
            generate(chosen),
            seed=seed,
            cases=cases,
            waves=trace,
            on_batch=lambda figures: on_progress(figures.cases, figures.cycles),
        )
    except CheckFailed as error:
        if not isinstance(config, str | Path):  # no file that a command could name
            raise CheckFailed(f"{error}; rerun with waves: simulate(..., {seed=}, {cases=}, waves=True)") from error
        chosen_cases = [] if cases is None else ["--cases", str(cases)]
        command = ["einloom", "simulate", str(config), "--seed", str(seed), *chosen_cases, "--waves"]
        raise CheckFailed(f"{error}; rerun with waves: {shlex.join(command)}") from error
    seconds = time.perf_counter() - started
    return SimulationReport(
        chosen.name, chosen.engine.kind, seed, result.cases, result.cycles, result.utilisation, seconds, trace
    )
