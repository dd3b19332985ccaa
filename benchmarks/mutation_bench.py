"""The cocotb side of mutation runs on engines: what `einloom simulate` runs, for one fault after the other.

Settings are those of the engine's bench, and `mutants`, the numbers of the faults; `runs`, the batches to run for each
as (seed, cases, largest number of keys), each with the corners before its random jobs. For each fault a line goes to
the report: the batch that caught it; the first batch that took another number of cycles; and the first in which any
port had another value in any cycle.
"""

import json
import os
from pathlib import Path

import cocotb

from einloom.sim.bench import attention, attention_cases, batch, cases, cocotb_attention, cocotb_gemm
from einloom.sim.bench.compare import require_cycles
from einloom.sim.bench.driver import SETTINGS, Bench
from einloom.sim.bench.gemm_cycles import batch_cycles
from einloom.sim.golden.engines import golden_sums
from einloom.spec.errors import CheckFailed
from einloom.spec.manifest import GemmManifest, Manifest


class GemmBatch:
    """A batch with its files, and what golden makes of it."""

    counters = cocotb_gemm.COUNTERS

    def __init__(self, manifest, case, jobs, stalls):
        self.case, self._manifest, self._jobs, self._folder = case, manifest, jobs, Path.cwd()
        files = batch.WeightFiles(self._folder, manifest)
        self.ports = batch.prepare(self._folder, manifest, jobs, [files.append(job.tensor) for job in jobs], stalls)
        self._expected = [golden_sums(manifest.gemm, job.tensor, job.activations) for job in jobs]
        self._cycles = batch_cycles(manifest.gemm, jobs, self.ports)

    @staticmethod
    def all_of(manifest, seed, count, _max_keys):
        yield from cases.corner_batches(manifest.gemm)
        yield from cases.random_batches(manifest.gemm, seed, count)

    def check(self, counters):
        """CheckFailed when a sum is not golden's, or the batch took another number of cycles than it must."""
        outcome = batch.Outcome(*counters)
        require_cycles(self._cycles, outcome.cycles, self.case)
        found = batch.collect(self._folder, self._manifest, self._jobs, self.ports, outcome)
        for sums, (value, exponent) in zip(found, self._expected, strict=True):
            if (sums.value != value).any() or (sums.exponent != exponent).any():
                raise CheckFailed(self.case)


class AttentionBatch:
    """A batch with its files, and what golden makes of it."""

    counters = cocotb_attention.COUNTERS

    def __init__(self, manifest, case, jobs, stalls):
        self.case, self._manifest, self._jobs, self._folder = case, manifest.attention, jobs, Path.cwd()
        self._stalls = stalls
        self.ports = attention.prepare(self._folder, self._manifest, jobs, stalls)
        self._expected = attention.golden_of(self._manifest, jobs)

    @staticmethod
    def all_of(manifest, seed, count, max_keys):
        yield from attention_cases.corner_batches(manifest.attention)
        yield from attention_cases.random_batches(manifest.attention, seed, count, max_keys)

    def check(self, counters):
        """CheckFailed when an output is not golden's, or the run was not clean."""
        outcome = attention.AttentionOutcome(*counters)
        attention.check(
            self._folder,
            self._manifest,
            self._jobs,
            outcome,
            what=self.case,
            expected=self._expected,
            stalls=self._stalls,
        )


class Session:
    """All batches, and the bench that runs them."""

    def __init__(self, dut):
        manifest = Manifest.model_validate(SETTINGS["manifest"])
        kind = GemmBatch if isinstance(manifest.design, GemmManifest) else AttentionBatch
        self._bench = Bench(dut, (*kind.counters, "signature"))
        self._home = Path.cwd()
        self.batches, self._folders = [], []
        for seed, count, max_keys in SETTINGS["runs"]:
            for case, jobs, stalls in kind.all_of(manifest, seed, count, max_keys):
                folder = self._home / f"batch_{len(self.batches)}"
                folder.mkdir()
                os.chdir(folder)
                self.batches.append(kind(manifest, case, jobs, stalls))
                self._folders.append(folder)

    async def run(self, number):
        """Run one batch; its counters and signature. CheckFailed or AssertionError when it does not end well."""
        os.chdir(self._folders[number])
        *counters, signature = await self._bench.run(self.batches[number].ports)
        self.batches[number].check(counters)
        return counters, signature

    async def outcomes(self, mutant, reference=()):
        """(batch that caught the fault, or None, and the outcomes of all before it).

        A longer look ends where a port has another value than in the `reference`.
        """
        await self._bench.reset(mutant=mutant)
        found = []
        for number, each in enumerate(self.batches):
            try:
                found.append(await self.run(number))
            except (CheckFailed, AssertionError):
                return each.case, found
            if SETTINGS["longer"] and reference and found[-1] != reference[number]:
                break
        return None, found

    async def is_healthy(self, reference):
        """True when the design without a fault does what it did at first."""
        await self._bench.reset(mutant=0)
        try:
            return await self.run(0) == reference
        except (CheckFailed, AssertionError):
            return False


@cocotb.test(skip="mutants" not in SETTINGS)
async def mutants_are_judged(dut):
    session = Session(dut)
    case, reference = await session.outcomes(0)
    assert case is None, f"without a fault: {case}"
    with Path(SETTINGS["report"]).open("a") as report:

        def write(**line):
            print(json.dumps(line), file=report, flush=True)

        for mutant in SETTINGS["mutants"]:
            write(mutant=mutant, began=True)
            case, found = await session.outcomes(mutant, reference)
            line = {"mutant": mutant, "case": case}
            for what, index in (("cycles", 0), ("ports", 1)):
                pairs = zip(found, reference, session.batches, strict=False)
                line[what] = next((b.case for one, other, b in pairs if one[index] != other[index]), None)
            write(**line)
            assert await session.is_healthy(reference[0]), f"fault {mutant} outlives a reset"
