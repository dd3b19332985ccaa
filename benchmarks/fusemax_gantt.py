"""A Gantt chart of FuseMax epochs: what the 2D array and the 1D row do in each cycle, from a simulation of the RTL.

python -m benchmarks.fusemax_gantt docs/engines/fusemax-epoch.svg [--head 64] [--rows 16]
"""

import argparse
from itertools import groupby
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "einloom"  # the same bytes every time
import matplotlib.pyplot as plt
from amaranth.sim import Simulator

from einloom.hw.array.attention_engine import AttentionEngine, AttentionSpec
from einloom.hw.pe.fusemax import Step
from einloom.spec.attention_format import AttentionFormat

COLOURS = {"SCORE": "#4c78a8", "SCALE": "#e45756", "EXP": "#f58518", "VALUE": "#54a24b", "busy": "#79706e"}
MEANING = {
    "SCORE": "QK: query x key",
    "SCALE": "score",
    "EXP": "SLN: a step of exp",
    "VALUE": "SLNV: probability x value",
    "busy": "1D row: PRM, RD, RNV",
}


def trace(rows: int, head: int, tiles: int) -> list[tuple[str | None, bool]]:
    """Cycles of a job of `tiles` tiles: the step that the 2D array issues in each, and True when the 1D row is busy."""
    # One column is enough: all columns do the same in every cycle.
    format = AttentionFormat(8, max(head, 32), 1 << 16)
    engine = AttentionEngine(AttentionSpec(format, rows=rows, columns=1, digits=8))
    seen: list[tuple[str | None, bool]] = []

    async def bench(ctx):
        fields = {"queries": 0, "query_head": head, "value_head": head, "keys": rows * tiles, "last_position": 0}
        for name, value in fields.items():
            ctx.set(getattr(engine.job.payload, name), value)
        ctx.set(engine.job.valid, 1)
        for stream in (engine.keys, engine.values):
            ctx.set(stream.valid, 1)
        ctx.set(engine.outputs.ready, 1)
        taken = False
        while not (taken and ctx.get(engine.idle)) and len(seen) < 10_000:
            taken = taken or bool(ctx.get(engine.job.ready))
            issue = ctx.get(engine.sequencer.issue)
            seen.append((Step(issue.step).name if issue.valid else None, bool(ctx.get(engine.row_busy))))
            await ctx.tick()
            if taken:
                ctx.set(engine.job.valid, 0)

    simulator = Simulator(engine)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def draw(seen: list[tuple[str | None, bool]], epochs: range, cycles: int, start: int, file: Path) -> None:
    """Draw `epochs` of `cycles` each; the first tile's first step is at `start`."""
    first, last = start + epochs.start * cycles, start + epochs.stop * cycles
    figure, axes = plt.subplots(figsize=(11, 2.6))
    lanes = {"1D row": ["busy" if busy else None for _, busy in seen], "2D array": [step for step, _ in seen]}
    for height, lane in enumerate(lanes.values()):
        at = first
        for step, run in groupby(lane[first:last]):
            length = len(list(run))
            if step:
                axes.broken_barh([(at - first, length)], (height + 0.1, 0.8), color=COLOURS[step])
            at += length
    for n in range(len(epochs) + 1):
        axes.axvline(n * cycles, color="black", linewidth=0.8)
    axes.set_yticks([0.5, 1.5], lanes)
    axes.set_xlim(0, last - first)
    axes.set_xlabel(f"cycles (an epoch is {cycles})")
    axes.legend([plt.Rectangle((0, 0), 1, 1, color=c) for c in COLOURS.values()], MEANING.values(), ncols=5, fontsize=8,
                loc="upper center", bbox_to_anchor=(0.5, 1.25), frameon=False)  # fmt: skip
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--head", type=int, default=64)
    parser.add_argument("--rows", type=int, default=16)
    args = parser.parse_args()
    seen = trace(args.rows, args.head, tiles=6)
    start = next(n for n, (step, _) in enumerate(seen) if step)
    # Epochs in the middle of a job: the distance from one tile's SCALE to the next one's.
    scales = [n for n, (step, _) in enumerate(seen) if step == "SCALE"]
    cycles = scales[3] - scales[2]
    steady = range(scales[2] - args.head, scales[4] - args.head)
    busy, row = (sum(1 for n in steady if seen[n][lane]) / len(steady) for lane in (0, 1))
    print(f"{cycles} cycles an epoch; 2D array busy {busy:.1%}, 1D row {row:.1%} of two epochs in the middle")
    draw(seen, range(2), cycles, scales[2] - args.head - 2, args.file)
    print(f"the job's first step is in cycle {start}, its last in {len(seen) - 1}; drawn: {args.file}")


if __name__ == "__main__":
    main()
