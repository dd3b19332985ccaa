"""Small attention engines in Amaranth's simulator, against golden."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from einloom.generators.fusemax import attention_spec
from einloom.hw.array.attention_engine import AttentionEngine
from einloom.mapping.attention_operands import (
    AttentionJob,
    attention_format,
    pack_attention_job,
    pack_beats,
    pack_queries,
)
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.sim.golden.integer_attention import golden_outputs
from einloom.sim.strategies import make_config
from einloom.spec.attention_format import OUTPUT_BITS, QUERY_BITS
from einloom.spec.manifest import AttentionManifest


def engine(**section: object) -> tuple[AttentionEngine, AttentionManifest]:
    """The engine of a config's section, and what a program must know of it."""
    spec, manifest = attention_spec(make_config({"kind": "fusemax", **section}))
    return AttentionEngine(spec), manifest


def queries(words: Sequence[int]) -> Callable[[Cycle], None]:
    """The memory of queries: a word of all columns in the cycle behind its read."""

    def partner(cycle: Cycle) -> None:
        if cycle["query_read"]:
            cycle.set("queries", words[cycle["query_address"]])

    return partner


def words_of(raw: bytes, size: int) -> list[int]:
    return [int.from_bytes(raw[n : n + size], "little") for n in range(0, len(raw), size)]


def check(
    part: AttentionEngine,
    manifest: AttentionManifest,
    jobs: Sequence[AttentionJob],
    pauses: Mapping[str, float],
    *,
    limit: int = 30_000,
) -> dict[str, list[int]]:
    """Every bit of the outputs of all columns that hold a query; returns the cycles of what came out."""
    rows, columns = manifest.rows, manifest.columns
    memory: list[int] = []
    streams: dict[str, list[int]] = {"job": [], "keys": [], "values": []}
    outputs: list[list[int | None]] = []
    for job in jobs:
        tiles = job.tiles(rows)
        streams["job"].append(pack_attention_job(job, manifest, queries=len(memory)))
        memory += words_of(pack_queries(job, manifest), columns * QUERY_BITS // 8)
        beat = rows * manifest.spans * manifest.input_bits // 8
        streams["keys"] += words_of(pack_beats(job.keys, tiles, manifest, job.spans), beat)
        streams["values"] += words_of(pack_beats(job.values, tiles, manifest, job.spans), beat)
        for row in golden_outputs(attention_format(manifest), rows, job).tolist():
            spread: list[int | None] = [None] * columns
            spread[: len(row) * job.spans : job.spans] = row
            outputs.append(spread)
    bench = PartBench(part, streams, pauses=pauses, partners=[queries(memory)], limit=limit)
    run = bench.check(lambda _: {"outputs": [None] * len(outputs)})
    for n, (found, expected) in enumerate(zip(run.outputs["outputs"], outputs, strict=True)):
        signed = [None if e is None else f for f, e in zip(found, expected, strict=True)]
        assert signed == expected, f"output {n} of {len(outputs)}: found {signed}, expected {expected}"
    assert np.all([len(found) == columns for found in run.outputs["outputs"]])
    assert OUTPUT_BITS == manifest.output_bits
    return run.cycles
