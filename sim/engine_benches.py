"""The cocotb benches of an engine, run on a design."""

import json
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cocotb_tools.check_results import get_results

from einloom.generators.design import Design
from einloom.sim.bench.build import build
from einloom.sim.simulator_process import Simulator
from einloom.spec.errors import CheckFailed, ToolError
from einloom.spec.manifest import GemmManifest

GEMM_MODULE = "einloom.sim.bench.cocotb_gemm"
ATTENTION_MODULE = "einloom.sim.bench.cocotb_attention"
WATCH_SECONDS = 0.2
BENCHES = ("corners_match_golden", "random_jobs_match_golden")


PRODUCTS, ATTENTIONS = 200, 60
"""Random jobs of a run by default; those of attention are longer."""


@dataclass(frozen=True)
class Simulation:
    """Figures of a run of the benches.

    Attributes
    ----------
    cases : jobs that were compared with golden.
    cycles : cycles of all these jobs.
    utilisation : share of cycles in which the array was at work, stalls included.
    """

    cases: int
    cycles: int
    utilisation: float


def run_cocotb(
    executable: Path,
    folder: Path,
    settings: dict[str, object],
    testcases: tuple[str, ...],
    *,
    seed: int,
    module: str = GEMM_MODULE,
    waves: Path | None = None,
    runner: Simulator | None = None,
) -> None:
    """Run cocotb tests of `module` in `folder`; CheckFailed with the log's first failure unless all ran and passed.

    Raises ToolError when the simulator does not start or ends before its tests do, as when it is killed.
    """
    results, log = folder / "results.xml", folder / "run.log"
    try:
        (runner or Simulator()).run(
            executable,
            folder,
            module=module,
            tests=testcases,
            seed=seed,
            results=results,
            log=log,
            settings=json.dumps(settings),
            waves=waves,
        )
    except OSError as error:
        raise ToolError(f"{error.filename or folder}: the simulator cannot be run: {error.strerror}") from error
    except RuntimeError as error:
        if not results.exists():  # it tells more
            tail = "\n".join(_log_lines(log)[-5:])
            raise ToolError(f"the simulator ended before its tests did ({error}):\n{tail}") from error
    ran, failed = get_results(results) if results.exists() else (0, 0)
    if failed or ran != len(testcases):
        raise CheckFailed(_first_failure(log, ran, failed))


def simulate(
    design: Design,
    *,
    seed: int = 1,
    cases: int | None = None,
    max_keys: int = 300,
    waves: Path | None = None,
    on_batch: Callable[[Simulation], None] = lambda _: None,
) -> Simulation:
    """Build `design` and run its engine's corners and about `cases` random jobs; CheckFailed when one is not golden.

    Unless told, there are as many random jobs as `default_cases` says. `max_keys` bounds the sequences of an attention
    engine's random jobs. `waves` is a file for the waves of all jobs, with the suffix `waves_suffix()`; it is written
    when a job is not golden, too. `on_batch` is told the figures so far, a few times a second.
    """
    executable = build(design, waves=waves is not None)
    with tempfile.TemporaryDirectory(prefix="einloom-") as temporary:
        folder = Path(temporary)
        report = folder / "report.jsonl"
        settings = {
            "manifest": design.manifest.model_dump(mode="json"),
            "seed": seed,
            "cases": cases or default_cases(design),
            "max_keys": max_keys,
            "report": str(report),
        }
        module = GEMM_MODULE if isinstance(design.manifest.design, GemmManifest) else ATTENTION_MODULE
        with _watched(report, on_batch):
            run_cocotb(executable, folder, settings, BENCHES, seed=seed, module=module, waves=waves)
        return _figures(report)


def _figures(report: Path) -> Simulation:
    """Figures of the batches that are in a bench's report so far."""
    text = report.read_text() if report.exists() else ""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    cases, cycles, busy = (sum(line[key] for line in lines) for key in ("cases", "cycles", "busy"))
    return Simulation(cases, cycles, busy / max(cycles, 1))


@contextmanager
def _watched(report: Path, on_batch: Callable[[Simulation], None]) -> Iterator[None]:
    """Tell `on_batch` what a bench reports while the block runs."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_SECONDS):
            on_batch(_figures(report))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def default_cases(design: Design) -> int:
    """Random jobs of a run, so many that planted faults in the rarest states show (benchmarks/mutate.py)."""
    return PRODUCTS if isinstance(design.manifest.design, GemmManifest) else ATTENTIONS


def _log_lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def _first_failure(log: Path, ran: int, failed: int) -> str:
    lines = _log_lines(log)
    reasons = re.findall(r"(?:CheckFailed|AssertionError): (.+)", "\n".join(lines))
    if reasons:
        return str(reasons[0]).strip()
    return f"{failed} of {ran} cocotb tests failed:\n" + "\n".join(lines[-20:])
