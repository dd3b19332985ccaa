"""The cocotb side of gemm_bench.sv: benches that check an engine against golden, and a server for other processes.

Settings come as JSON in the environment variable EINLOOM_BENCH: the design's manifest, the seed, the number of cases,
the file that takes the figures, and the address of the client to serve.
"""

import json
import os
from multiprocessing.connection import Client
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from einloom.manifest import Manifest
from sim.bench.batch import Job, Outcome, Stalls, WeightFiles, collect, prepare
from sim.bench.cases import corner_batches, random_batch
from sim.bench.compare import require_equal
from sim.golden.engines import golden_sums

SETTINGS = json.loads(os.environ.get("EINLOOM_BENCH", "{}"))


class GemmBench:
    """Drives the ports of gemm_bench.sv."""

    def __init__(self, dut):
        self.dut = dut

    async def reset(self):
        """Start the clock and reset the design."""
        self.dut.start.value = 0
        self.dut.rst.value = 1
        Clock(self.dut.clk, 2, unit="ns").start(start_high=False)
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)

    async def run(self, ports: dict[str, int]) -> Outcome:
        """Run one prepared batch."""
        for name, value in ports.items():
            getattr(self.dut, name).value = value
        self.dut.start.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.start.value = 0
        await RisingEdge(self.dut.done)
        assert not self.dut.timed_out.value, f"no result for a long time, {self.dut.cycles.value.to_unsigned()} cycles"
        return Outcome(self.dut.cycles.value.to_unsigned(), self.dut.accepted.value.to_unsigned())


async def _check(bench: GemmBench, manifest: Manifest, jobs: list[Job], stalls: Stalls, case: str) -> dict[str, int]:
    """Run a batch and compare every sum with golden; returns its figures."""
    folder = Path.cwd()
    files = WeightFiles(folder, manifest)
    ports = prepare(folder, manifest, jobs, [files.append(job.tensor) for job in jobs], stalls)
    outcome = await bench.run(ports)
    for job, sums in zip(jobs, collect(folder, manifest, jobs, ports, outcome), strict=True):
        expected = golden_sums(manifest.gemm, job.tensor, job.activations)
        require_equal(expected, (sums.value, sums.exponent), what=f"{case}, {job.name}", cycle=outcome.cycles)
    busy = sum(
        -(-job.tensor.shape[0] // manifest.gemm.columns)
        * (job.tensor.shape[1] // manifest.gemm.weights.lanes)
        * manifest.gemm.weights.step(job.tensor.format).cycles
        for job in jobs
    )
    return {"cases": len(jobs), "cycles": outcome.cycles, "busy": busy, "beats": outcome.accepted}


def _report(name: str, figures: list[dict[str, int]]) -> None:
    totals = {key: sum(f[key] for f in figures) for key in figures[0]} if figures else {}
    with Path(SETTINGS["report"]).open("a") as file:
        file.write(json.dumps({"test": name, **totals}) + "\n")


@cocotb.test()
async def corners_match_golden(dut):
    """Extremes, zeros, single elements and back-pressure on every stream, for each format."""
    manifest = Manifest.model_validate(SETTINGS["manifest"])
    bench = GemmBench(dut)
    await bench.reset()
    figures = [
        await _check(bench, manifest, jobs, stalls, case) for case, jobs, stalls in corner_batches(manifest.gemm)
    ]
    _report("corners", figures)


@cocotb.test()
async def random_jobs_match_golden(dut):
    """Batches of random jobs with random stalls."""
    manifest = Manifest.model_validate(SETTINGS["manifest"])
    bench = GemmBench(dut)
    await bench.reset()
    figures = []
    rng = np.random.default_rng(SETTINGS["seed"])
    while sum(f["cases"] for f in figures) < SETTINGS["cases"]:
        jobs, stalls = random_batch(rng, manifest.gemm)
        figures.append(await _check(bench, manifest, jobs, stalls, f"batch {len(figures)} of seed {SETTINGS['seed']}"))
    _report("random", figures)


@cocotb.test(skip="address" not in SETTINGS)
async def serve(dut):
    """Run batches for another process until it hangs up; it prepares and reads the files and does the checking."""
    bench = GemmBench(dut)
    await bench.reset()
    with Client(SETTINGS["address"], authkey=SETTINGS["key"].encode()) as client:
        while (ports := client.recv()) is not None:
            outcome = await bench.run(ports)
            client.send((outcome.cycles, outcome.accepted))
