"""Utilisation of the FuseMax engine, measured in RTL: encoder, causal and decode shapes.

python -m benchmarks.fusemax [--config fusemax-16x16] [--longest 16384]

A config with spans, such as fusemax-16x16-split, also has a row for decoding split over them.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from einloom.catalogue import load_config
from einloom.mapping.attention_operands import AttentionJob, quantize_channels, quantize_queries
from einloom.mapping.cost.fusemax import AttentionShape, attention_cycles, tile_cycles
from einloom.sim.attention_device import AttentionDevice
from einloom.sim.bench.attention import AttentionOutcome
from einloom.spec.attention_format import Mask

HEAD = 64
Floats = npt.NDArray[np.float64]


def make_job(
    device: AttentionDevice, queries: Floats, keys: Floats, values: Floats, mask: Mask, first: int
) -> AttentionJob:
    """Quantize one block of queries [P, E] at the positions from `first` on."""
    key_codes, key_scale = quantize_channels(keys, device.format.input_bits)
    value_codes, _ = quantize_channels(values, device.format.input_bits)
    codes, scales = quantize_queries(queries, key_scale, device.format)
    positions = first + np.arange(len(queries))
    return AttentionJob("benchmark", codes, scales, positions, key_codes, value_codes, mask)


def run(device: AttentionDevice, jobs: Sequence[AttentionJob]) -> tuple[AttentionOutcome, int]:
    """The RTL's counters and the cost model's cycles."""
    _, outcome = device.run(jobs)
    return outcome, attention_cycles(device.manifest, [AttentionShape.of(job) for job in jobs]).cycles


def shapes(device: AttentionDevice, longest: int) -> Table:
    """Cycles and utilisation of encoder, causal and decode jobs."""
    manifest = device.manifest
    rng, columns, rows = np.random.default_rng(0), manifest.columns, manifest.rows
    table = Table(title=f"{device.design.manifest.name}, E = F = {HEAD}")
    for heading in ("shape", "cycles", "cost model", "2D array", "1D row", "bound", "cycles over bound"):
        table.add_column(heading, justify="right")

    def data(keys: int) -> tuple[Floats, Floats]:
        both: Floats = rng.normal(size=(2, keys, HEAD))
        return both[0], both[1]

    def add(name: str, jobs: Sequence[AttentionJob], bound: int) -> None:
        outcome, model = run(device, jobs)
        shares = [f"{busy / outcome.cycles:.2%}" for busy in (outcome.busy, outcome.row_busy)]
        ratio = f"{outcome.cycles / bound:.4f}"
        table.add_row(name, f"{outcome.cycles:,}", f"{model:,}", *shares, f"{bound:,}", ratio)

    # As many blocks of queries as a sequence has, up to what a simulation of a minute can hold.
    for length, blocks in ((512, 512 // columns), (512, 1), (4096, 4), (4096, 1), (16384, 1)):
        if length <= longest:
            both = data(length)
            jobs = [make_job(device, rng.normal(size=(columns, HEAD)), *both, Mask(length), 0) for _ in range(blocks)]
            bound = blocks * (length // rows) * tile_cycles(manifest, HEAD, HEAD)
            add(f"{blocks * columns} queries, {length} keys", jobs, bound)
    keys, values = data(4096)
    starts = range(0, 4096, columns)
    # Every eighth block of queries: the same share of all lengths at an eighth of the simulation.
    causal = [
        make_job(device, rng.normal(size=(columns, HEAD)), keys, values, Mask(4096, causal=True), s)
        for s in starts[7::8]
    ]
    tiles = sum(len(job.tiles(rows)) for job in causal)
    add("4096 keys, causal", causal, tiles * tile_cycles(manifest, HEAD, HEAD))
    # Decode: two key/value heads, four query heads each. A beat of keys or values is what a port brings in a cycle.
    decode = [make_job(device, rng.normal(size=(4, HEAD)), *data(8192), Mask(8192), 8191) for _ in range(2)]
    add("decode, 8192 keys, 8 heads in 2 groups", decode, 2 * 8192 // rows * (HEAD + HEAD))
    spans = device.manifest.spans
    if 1 < spans <= columns // 4:
        split = [replace(job, spans=spans) for job in decode]
        add(f"the same, split over {spans} spans", split, 2 * 8192 // (rows * spans) * (HEAD + HEAD))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="fusemax-16x16")
    parser.add_argument("--longest", type=int, default=16384)
    args = parser.parse_args()
    with AttentionDevice(load_config(args.config)) as device:
        Console().print(shapes(device, args.longest))
        Console().print(
            "The bound is E + F + 6 cycles per visited tile, in which every PE of the 2D array is busy; for decode it "
            "is the stream of keys and values at a beat a cycle, of which a job that is not split uses one slice."
        )


if __name__ == "__main__":
    main()
