"""The cocotb side of attention_bench.sv: benches that check an attention engine against golden."""

from pathlib import Path

import cocotb

from einloom.sim.bench.attention import AttentionOutcome, check, prepare
from einloom.sim.bench.attention_cases import corner_batches, random_batches
from einloom.sim.bench.driver import SERVES, SETTINGS, Bench, report
from einloom.spec.manifest import Manifest

COUNTERS = ("cycles", "busy", "row_busy", "unread", "reads", "early")


async def _check(bench, manifest, jobs, stalls, case) -> int:
    """Run a batch, compare every output with golden, and report its figures; returns the number of its jobs."""
    folder = Path.cwd()
    outcome = AttentionOutcome(*await bench.run(prepare(folder, manifest, jobs, stalls)))
    check(folder, manifest, jobs, outcome, what=case, stalls=stalls)
    report(case, {"cases": len(jobs), "cycles": outcome.cycles, "busy": outcome.busy})
    return len(jobs)


@cocotb.test()
async def corners_match_golden(dut):
    """Extremes, equal scores, masks that hide everything, and back-pressure on every stream."""
    manifest = Manifest.model_validate(SETTINGS["manifest"]).attention
    bench = Bench(dut, COUNTERS)
    await bench.reset()
    for case, jobs, stalls in corner_batches(manifest):
        await _check(bench, manifest, jobs, stalls, case)


@cocotb.test()
async def random_jobs_match_golden(dut):
    """Batches of random jobs with random stalls."""
    manifest = Manifest.model_validate(SETTINGS["manifest"]).attention
    bench = Bench(dut, COUNTERS)
    await bench.reset()
    batches = random_batches(manifest, SETTINGS["seed"], SETTINGS["cases"], SETTINGS["max_keys"])
    for case, jobs, stalls in batches:
        await _check(bench, manifest, jobs, stalls, case)


@cocotb.test(skip=not SERVES)
async def serve(dut):
    """Run batches for another process until it hangs up; it prepares and reads the files and does the checking."""
    bench = Bench(dut, COUNTERS)
    await bench.reset()
    await bench.serve()
