"""The cocotb side of attention_bench.sv: benches that check an attention engine against golden."""

from pathlib import Path

import cocotb

from einloom.sim.bench.attention import AttentionOutcome, check, prepare
from einloom.sim.bench.attention_cases import corner_batches, random_batches
from einloom.sim.bench.driver import SERVES, SETTINGS, Bench, report
from einloom.spec.manifest import Manifest

COUNTERS = ("cycles", "busy", "row_busy", "unread", "early")


async def _check(bench, manifest, jobs, stalls, case) -> dict[str, int]:
    """Run a batch and compare every output with golden; returns its figures."""
    folder = Path.cwd()
    outcome = AttentionOutcome(*await bench.run(prepare(folder, manifest, jobs, stalls)))
    check(folder, manifest, jobs, outcome, what=case, stalls=stalls)
    return {"cases": len(jobs), "cycles": outcome.cycles, "busy": outcome.busy, "row_busy": outcome.row_busy}


@cocotb.test()
async def corners_match_golden(dut):
    """Extremes, equal scores, masks that hide everything, and back-pressure on every stream."""
    manifest = Manifest.model_validate(SETTINGS["manifest"]).attention
    bench = Bench(dut, COUNTERS)
    await bench.reset()
    report("corners", [await _check(bench, manifest, jobs, s, case) for case, jobs, s in corner_batches(manifest)])


@cocotb.test()
async def random_jobs_match_golden(dut):
    """Batches of random jobs with random stalls."""
    manifest = Manifest.model_validate(SETTINGS["manifest"]).attention
    bench = Bench(dut, COUNTERS)
    await bench.reset()
    figures = []
    batches = random_batches(manifest, SETTINGS["seed"], SETTINGS["cases"], SETTINGS["max_keys"])
    for case, jobs, stalls in batches:
        figures.append(await _check(bench, manifest, jobs, stalls, case))
    report("random", figures)


@cocotb.test(skip=not SERVES)
async def serve(dut):
    """Run batches for another process until it hangs up; it prepares and reads the files and does the checking."""
    bench = Bench(dut, COUNTERS)
    await bench.reset()
    await bench.serve()
