"""Utilisation of the FuseMax engine's two arrays, measured in RTL, beside the cost model and the paper's schedule.

    python -m benchmarks.fusemax_utilisation [--quick]

One head of E = F = 64 with int8 keys and values on the shipped 16x16 array; queries are as many as keys, in blocks of
16 (with --quick and for 16384 keys, only the last few blocks, which costs utilisation: the last division shows more).
"""

import argparse
from collections.abc import Sequence

import numpy as np

from einloom.attention import Mask
from einloom.cli.locate import find_config
from mapping.attention import AttentionJob
from mapping.cost.fusemax import AttentionShape, attention_cycles, tile_cycles
from sim.attention import AttentionDevice

HEAD = 64
CASES = (  # name, keys, causal, blocks of queries (None: all)
    ("512 keys", 512, False, None),
    ("4096 keys", 4096, False, None),
    ("16384 keys", 16384, False, 8),
    ("4096 keys, causal", 4096, True, None),
)


def blocks(rng: np.random.Generator, mask: Mask, positions: Sequence[np.ndarray]) -> list[AttentionJob]:
    """Random queries at each of `positions`, against the same keys and values."""
    keys, values = rng.integers(-127, 128, (2, mask.keys, HEAD))
    return [
        AttentionJob(f"block {n}", rng.integers(-3000, 3000, (len(p), HEAD)), np.full(len(p), 3), p, keys, values, mask)
        for n, p in enumerate(positions)
    ]


def report(device: AttentionDevice, name: str, jobs: list[AttentionJob]) -> int:
    """Run `jobs`, print their figures, and return their cycles."""
    rows = device.manifest.rows
    _, outcome = device.run(jobs, compare=False)
    shapes = [AttentionShape(HEAD, HEAD, int(j.positions.min()), int(j.positions.max()), j.mask) for j in jobs]
    cost = attention_cycles(device.manifest, shapes)
    tiles = sum(len(job.tiles(rows)) for job in jobs)
    print(
        f"{name:<28} {outcome.cycles:>10,} cycles   2D {outcome.busy / outcome.cycles:.4f}   "
        f"1D {outcome.row_busy / outcome.cycles:.4f}   of the visited tiles' bound "
        f"{tiles * tile_cycles(HEAD, HEAD) / outcome.cycles:.4f}   MACs {tiles * 2 * HEAD / outcome.cycles:.4f}   "
        f"model {cost.cycles - outcome.cycles:+d}",
        flush=True,
    )
    return outcome.cycles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only a few blocks of queries of each case")
    quick = parser.parse_args().quick
    rng = np.random.default_rng(0)
    with AttentionDevice(find_config("fusemax-16x16")) as device:
        columns = device.manifest.columns
        for name, keys, causal, count in CASES:
            starts = list(range(0, keys, columns))
            starts = starts[-(8 if quick and not causal else count or len(starts)) :]
            positions = [start + np.arange(columns) for start in starts]
            report(device, name, blocks(rng, Mask(keys, causal), positions))
        # One query of 8 heads in 2 groups: a block per group, its 4 heads in as many columns.
        groups = [np.full(4, 8191)] * 2
        cycles = report(device, "decode, 8192 keys, 2 groups", blocks(rng, Mask(8192, causal=True), groups))
        beats = len(groups) * 8192 // device.manifest.rows * 2 * HEAD
        print(f"decode: {beats:,} beats of keys and values, one a cycle at best: {cycles / beats:.4f} times the bound")


if __name__ == "__main__":
    main()
