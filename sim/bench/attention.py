"""Batches of attention jobs as the files and port values that attention_bench.sv wants, and its outputs as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from einloom.mapping.attention_operands import (
    AttentionJob,
    attention_format,
    pack_attention_job,
    pack_beats,
    pack_queries,
)
from einloom.mapping.cost.fusemax import AttentionCost, AttentionShape, attention_cycles
from einloom.sim.bench.batch import IDLE_CYCLES, PATIENCE, read_sums, require_late_idle
from einloom.sim.golden.integer_attention import golden_outputs
from einloom.spec.errors import CheckFailed
from einloom.spec.manifest import AttentionManifest, SumLayout

MAX_WORDS = 65536  # DEPTH in attention_bench.sv: all that an engine can address
MAX_JOBS = 1024
WORDS_BEHIND_QUERY = 3
"""A query's scale, and the two halves of its position; all are read once for each tile."""


@dataclass(frozen=True)
class AttentionStalls:
    """Chances of a stall in a cycle, in 1/256, and the seed of all of them."""

    jobs: int = 0
    keys: int = 0
    values: int = 0
    outputs: int = 0
    seed: int = 1


@dataclass(frozen=True)
class AttentionOutcome:
    """Cost of a batch: cycles, and those in which the 2D array and the 1D row were at work."""

    cycles: int
    busy: int
    row_busy: int
    unread: int
    reads: int
    """Of words of the query buffer."""
    early: int = 0
    """Cycles in which the engine called itself idle although results were due."""

    def __add__(self, other: "AttentionOutcome") -> "AttentionOutcome":
        return AttentionOutcome(
            self.cycles + other.cycles,
            self.busy + other.busy,
            self.row_busy + other.row_busy,
            self.unread + other.unread,
            self.reads + other.reads,
            self.early + other.early,
        )


def prepare(
    folder: Path, manifest: AttentionManifest, jobs: Sequence[AttentionJob], stalls: AttentionStalls
) -> dict[str, int]:
    """Write the batch's files into `folder`; returns the values of the bench's ports.

    The queries lie anywhere in their buffer: the seed of the stalls says where.
    """
    lines, words, counts = [], sum(job.query_words for job in jobs), {"keys": 0, "values": 0}
    if words > MAX_WORDS or len(jobs) > MAX_JOBS:
        raise ValueError(f"a batch holds {MAX_JOBS} jobs with {MAX_WORDS} words of queries, not {len(jobs)}, {words}")
    first = at = int(np.random.default_rng(stalls.seed).integers(MAX_WORDS - words + 1))
    with (
        (folder / "queries.bin").open("wb") as queries,
        (folder / "keys.bin").open("wb") as keys,
        (folder / "values.bin").open("wb") as values,
    ):
        for job in jobs:
            tiles = job.tiles(manifest.rows)
            lines.append(f"{pack_attention_job(job, manifest, queries=at):x}")
            queries.write(pack_queries(job, manifest))
            keys.write(pack_beats(job.keys, tiles, manifest, job.spans))
            values.write(pack_beats(job.values, tiles, manifest, job.spans))
            at += job.query_words
            counts["keys"] += len(tiles) * job.query_head
            counts["values"] += len(tiles) * job.value_head
    (folder / "jobs.hex").write_text("\n".join(lines) + "\n")
    results = sum(job.value_head for job in jobs)
    return {
        "jobs": len(jobs),
        "words": words,
        "words_at": first,
        **counts,
        "results": results,
        "seed": stalls.seed % 0xFFFFFFFF + 1,
        "job_stall": stalls.jobs,
        "key_stall": stalls.keys,
        "value_stall": stalls.values,
        "output_stall": stalls.outputs,
        "patience": PATIENCE,
        "limit": IDLE_CYCLES + 300 * (sum(counts.values()) + results * manifest.division_cycles),
    }


def outputs(folder: Path, manifest: AttentionManifest, jobs: Sequence[AttentionJob]) -> list[npt.NDArray[np.int64]]:
    """The outputs [F, P] of each job; CheckFailed when their number is wrong."""
    layout = SumLayout(value_bits=manifest.output_bits, exponent_bits=0, exponent_bias=0)
    beats = read_sums((folder / "outputs.hex").read_text(), manifest.columns, layout).value
    wanted = sum(job.value_head for job in jobs)
    if len(beats) != wanted:
        raise CheckFailed(f"{len(beats)} beats of outputs came, not {wanted}")
    starts = np.cumsum([0, *(job.value_head for job in jobs)])
    return [
        beats[s : s + j.value_head, : len(j.queries) * j.spans : j.spans] for s, j in zip(starts, jobs, strict=False)
    ]


def golden_of(manifest: AttentionManifest, jobs: Sequence[AttentionJob]) -> list[npt.NDArray[np.int64]]:
    """Golden's outputs [F, P] of each job."""
    return [golden_outputs(attention_format(manifest), manifest.rows, job) for job in jobs]


def check(
    folder: Path,
    manifest: AttentionManifest,
    jobs: Sequence[AttentionJob],
    outcome: AttentionOutcome,
    *,
    what: str,
    expected: Sequence[npt.NDArray[np.int64]] | None = None,
    stalls: AttentionStalls | None = None,
) -> None:
    """Compare every output with golden, or with `expected`; CheckFailed with the first that differs.

    With `stalls` that are none, the cycles must be those of the cost model, too.
    """
    if outcome.unread:
        raise CheckFailed(f"{what}: {outcome.unread} beats of keys and values were left unread")
    reads = sum(len(job.tiles(manifest.rows)) * (job.query_head + WORDS_BEHIND_QUERY) for job in jobs)
    if outcome.reads != reads:
        raise CheckFailed(f"{what}: words of queries were read {outcome.reads} times, not {reads}")
    require_late_idle(outcome.early, what)
    if stalls is not None and not (stalls.jobs or stalls.keys or stalls.values or stalls.outputs):
        cost = attention_cycles(manifest, [AttentionShape.of(job) for job in jobs])
        found = AttentionCost(outcome.cycles, outcome.busy, outcome.row_busy)
        if found != cost:
            raise CheckFailed(f"{what}: took {found}, not {cost}")
    goldens = golden_of(manifest, jobs) if expected is None else expected
    for job, actual, golden in zip(jobs, outputs(folder, manifest, jobs), goldens, strict=True):
        wrong = golden != actual
        if wrong.any():
            f, p = (int(i) for i in np.argwhere(wrong)[0])
            raise CheckFailed(
                f"{what}, {job.name}: RTL is not golden at value {f}, query {p}: expected {golden[f, p]}, got "
                f"{actual[f, p]} ({int(wrong.sum())} of {wrong.size} outputs differ; batch ended at cycle "
                f"{outcome.cycles})"
            )
