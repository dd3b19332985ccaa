"""The cocotb side of gemm_bench.sv: benches that check a GEMM engine against golden."""

from pathlib import Path

import cocotb

from einloom.mapping.cost.gemm import busy_cycles
from einloom.sim.bench.batch import Job, Outcome, Stalls, WeightFiles, collect, prepare
from einloom.sim.bench.cases import corner_batches, random_batches
from einloom.sim.bench.compare import require_cycles, require_equal
from einloom.sim.bench.driver import SERVES, SETTINGS, Bench, report
from einloom.sim.bench.gemm_cycles import batch_cycles
from einloom.sim.golden.engines import golden_sums
from einloom.spec.manifest import Manifest

COUNTERS = ("cycles", "accepted", "early")


async def _check(bench: Bench, manifest: Manifest, jobs: list[Job], stalls: Stalls, case: str) -> int:
    """Run a batch, compare its sums and cycles with what they must be, report its figures; returns how many jobs."""
    folder = Path.cwd()
    files = WeightFiles(folder, manifest)
    ports = prepare(folder, manifest, jobs, [files.append(job.tensor) for job in jobs], stalls)
    outcome = Outcome(*await bench.run(ports))
    for job, sums in zip(jobs, collect(folder, manifest, jobs, ports, outcome), strict=True):
        expected = golden_sums(manifest.gemm, job.tensor, job.activations)
        require_equal(expected, (sums.value, sums.exponent), what=f"{case}, {job.name}", cycle=outcome.cycles)
    require_cycles(batch_cycles(manifest.gemm, jobs, ports), outcome.cycles, case)
    busy = sum(busy_cycles(manifest.gemm, job.tensor) for job in jobs)
    report(case, {"cases": len(jobs), "cycles": outcome.cycles, "busy": busy})
    return len(jobs)


@cocotb.test()
async def corners_match_golden(dut):
    """Extremes, zeros, single elements and back-pressure on every stream, for each format."""
    manifest = Manifest.model_validate(SETTINGS["manifest"])
    bench = Bench(dut, COUNTERS)
    await bench.reset()
    for case, jobs, stalls in corner_batches(manifest.gemm):
        await _check(bench, manifest, jobs, stalls, case)


@cocotb.test()
async def random_jobs_match_golden(dut):
    """Batches of random jobs with random stalls."""
    manifest = Manifest.model_validate(SETTINGS["manifest"])
    bench = Bench(dut, COUNTERS)
    await bench.reset()
    for case, jobs, stalls in random_batches(manifest.gemm, SETTINGS["seed"], SETTINGS["cases"]):
        await _check(bench, manifest, jobs, stalls, case)


@cocotb.test(skip=not SERVES)
async def serve(dut):
    """Run batches for another process until it hangs up; it prepares and reads the files and does the checking."""
    bench = Bench(dut, COUNTERS)
    await bench.reset()
    await bench.serve()
