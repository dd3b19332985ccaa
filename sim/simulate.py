"""The cocotb benches of an engine, run on a design."""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Verilator

from einloom.errors import CheckFailed
from generators.design import Design
from sim.bench.build import build

GEMM_MODULE = "sim.bench.cocotb_gemm"
ATTENTION_MODULE = "sim.bench.cocotb_attention"
BENCHES = ("corners_match_golden", "random_jobs_match_golden")


@dataclass(frozen=True)
class Simulation:
    """What a run of the benches found.

    Attributes
    ----------
    cases : jobs that were compared with golden.
    cycles : of all of them.
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
    waves: bool = False,
) -> None:
    """Run cocotb tests of `module` in `folder`; CheckFailed with the log's first failure unless all ran and passed."""
    runner = Verilator()
    runner.build_dir = executable.parent
    results, log = folder / "results.xml", folder / "run.log"
    try:
        runner.test(
            hdl_toplevel=executable.name,
            hdl_toplevel_lang="verilog",
            test_module=module,
            testcase=list(testcases),
            seed=seed,
            test_dir=folder,
            build_dir=executable.parent,
            results_xml=str(results),
            extra_env={"EINLOOM_BENCH": json.dumps(settings), "COCOTB_ANSI_OUTPUT": "0", "PYTHONWARNINGS": ""},
            plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{seed % (1 << 31) + 1}"],
            waves=waves,
            log_file=log,
        )
    except (SystemExit, RuntimeError):
        pass  # the results file tells more
    ran, failed = get_results(results) if results.exists() else (0, 0)
    if failed or ran != len(testcases):
        raise CheckFailed(_first_failure(log, ran, failed))


def simulate(design: Design, *, seed: int = 1, cases: int = 40, max_keys: int = 300, waves: bool = False) -> Simulation:
    """Build `design` and run its engine's corners and about `cases` random jobs; CheckFailed when one is not golden.

    `max_keys` bounds the sequences of an attention engine's random jobs.
    """
    executable = build(design, waves=waves)
    with tempfile.TemporaryDirectory(prefix="einloom-") as temporary:
        folder = Path(temporary)
        report = folder / "report.jsonl"
        settings = {
            "manifest": design.manifest.model_dump(mode="json"),
            "seed": seed,
            "cases": cases,
            "max_keys": max_keys,
            "report": str(report),
        }
        module = GEMM_MODULE if design.manifest.gemm else ATTENTION_MODULE
        run_cocotb(executable, folder, settings, BENCHES, seed=seed, module=module, waves=waves)
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        if waves:
            (folder / "dump.vcd").rename(Path.cwd() / f"{design.manifest.name}.vcd")
    cycles = sum(line["cycles"] for line in lines)
    return Simulation(sum(line["cases"] for line in lines), cycles, sum(line["busy"] for line in lines) / cycles)


def _first_failure(log: Path, ran: int, failed: int) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    reasons = re.findall(r"(?:CheckFailed|AssertionError): (.+)", text)
    if reasons:
        return str(reasons[0]).strip()
    return f"{failed} of {ran} cocotb tests failed:\n" + "\n".join(text.splitlines()[-20:])
