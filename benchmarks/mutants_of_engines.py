"""Faults in an engine, each against the batches that `einloom simulate` runs."""

import inspect
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.mutations import Mutant, Mutants, Outcome
from einloom.generators.design import Design
from einloom.sim.bench.build import build
from einloom.sim.engine_benches import default_cases, run_cocotb, simulate
from einloom.spec.errors import CheckFailed, ToolError
from einloom.spec.manifest import GemmManifest

MODULE = "benchmarks.mutation_bench"
TEST = "mutants_are_judged"
LONGER = {"products": ((2, 800, 0),), "attention": ((2, 400, 40),)}
"""Seed, random jobs and most keys of the longer runs."""


def default_run(design: Design) -> tuple[int, int, int]:
    """The same of `einloom simulate`."""
    defaults = inspect.signature(simulate).parameters
    return defaults["seed"].default, default_cases(design), defaults["max_keys"].default


def longer_runs(design: Design) -> tuple[tuple[int, int, int], ...]:
    """The same of the longer runs."""
    return LONGER["products" if isinstance(design.manifest.design, GemmManifest) else "attention"]


def judge_engine(planted: Mutants, mutants: Sequence[Mutant], *, longer: bool = False) -> dict[int, Outcome]:
    """The outcome of each of `mutants`, by its number, in the default bench or in longer runs."""
    executable = build(planted.design)
    found: dict[int, Outcome] = {}
    while left := [m.number for m in mutants if m.number not in found]:
        with tempfile.TemporaryDirectory(prefix="einloom-") as name:
            report = Path(name) / "report.jsonl"
            settings = {
                "manifest": planted.design.manifest.model_dump(mode="json"),
                "mutants": left,
                "runs": longer_runs(planted.design) if longer else [default_run(planted.design)],
                "longer": longer,
                "report": str(report),
            }
            reason = ""
            try:
                run_cocotb(executable, Path(name), settings, (TEST,), seed=1, module=MODULE)
            except (CheckFailed, ToolError) as error:
                if not report.exists():  # no fault is to blame
                    raise
                reason = str(error).splitlines()[0]
            for line in report.read_text().splitlines():
                found |= _outcome(json.loads(line), reason)
    return found


def _outcome(line: Mapping[str, str], reason: str) -> dict[int, Outcome]:
    """What a line of the report says of a fault; one that only began has ended the simulator."""
    number = int(line["mutant"])
    if "began" in line:
        return {number: Outcome(case=f"the simulator ended: {reason}")}
    shown = [f"other {what} in {line[what]}" for what in ("cycles", "ports") if line[what]]
    return {
        number: Outcome(line["case"], f"another result in {line['case']}" if line["case"] else (shown or [None])[0])
    }
