"""The cocotb side of attention_bench.sv: benches that check an attention engine against golden.

Settings come as JSON in the environment variable EINLOOM_BENCH: the design's manifest, the seed, the number of cases,
the most keys of a case, and the file that takes the figures.
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
from sim.bench.attention import AttentionOutcome, check, prepare
from sim.bench.attention_cases import corner_batches, random_batch

SETTINGS = json.loads(os.environ.get("EINLOOM_BENCH", "{}"))
COUNTERS = ("cycles", "busy", "row_busy", "unread")


class AttentionBench:
    """Drives the ports of attention_bench.sv."""

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

    async def run(self, ports: dict[str, int]) -> AttentionOutcome:
        """Run one prepared batch."""
        for name, value in ports.items():
            getattr(self.dut, name).value = value
        self.dut.start.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.start.value = 0
        await RisingEdge(self.dut.done)
        cycles = self.dut.cycles.value.to_unsigned()
        assert not self.dut.timed_out.value, f"no output for a long time, {cycles} cycles"
        return AttentionOutcome(*(getattr(self.dut, name).value.to_unsigned() for name in COUNTERS))


async def _check(bench, manifest, jobs, stalls, case) -> dict[str, int]:
    """Run a batch and compare every output with golden; returns its figures."""
    folder = Path.cwd()
    outcome = await bench.run(prepare(folder, manifest, jobs, stalls))
    check(folder, manifest, jobs, outcome, what=case)
    return {"cases": len(jobs), "cycles": outcome.cycles, "busy": outcome.busy, "row_busy": outcome.row_busy}


def _report(name: str, figures: list[dict[str, int]]) -> None:
    totals = {key: sum(f[key] for f in figures) for key in figures[0]} if figures else {}
    with Path(SETTINGS["report"]).open("a") as file:
        file.write(json.dumps({"test": name, **totals}) + "\n")


@cocotb.test()
async def corners_match_golden(dut):
    """Extremes, equal scores, masks that hide everything, and back-pressure on every stream."""
    manifest = Manifest.model_validate(SETTINGS["manifest"]).attention
    bench = AttentionBench(dut)
    await bench.reset()
    _report("corners", [await _check(bench, manifest, jobs, s, case) for case, jobs, s in corner_batches(manifest)])


@cocotb.test()
async def random_jobs_match_golden(dut):
    """Batches of random jobs with random stalls."""
    manifest = Manifest.model_validate(SETTINGS["manifest"]).attention
    bench = AttentionBench(dut)
    await bench.reset()
    figures = []
    rng = np.random.default_rng(SETTINGS["seed"])
    while sum(f["cases"] for f in figures) < SETTINGS["cases"]:
        jobs, stalls = random_batch(rng, manifest, SETTINGS["max_keys"])
        case = f"batch {len(figures)} of seed {SETTINGS['seed']}"
        figures.append(await _check(bench, manifest, jobs, stalls, case))
    _report("random", figures)


@cocotb.test(skip="address" not in SETTINGS)
async def serve(dut):
    """Run batches for another process until it hangs up; it prepares and reads the files and does the checking."""
    bench = AttentionBench(dut)
    await bench.reset()
    with Client(SETTINGS["address"], authkey=SETTINGS["key"].encode()) as client:
        while (ports := client.recv()) is not None:
            outcome = await bench.run(ports)
            client.send((outcome.cycles, outcome.busy, outcome.row_busy, outcome.unread))
