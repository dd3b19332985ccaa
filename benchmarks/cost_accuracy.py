"""Cycles that the cost model predicts over those of the simulated core, for layer shapes x engines x contexts.

    python -m benchmarks.cost_accuracy [--configs default core-int8 ...] [--shapes small wide ...] [--bound 2]

Each shape is a Llama of one or two layers and a head, whose weights and cache are zeros: no latency depends on data.
Jobs are a token behind a short and behind a long context, and where the array computes several at once a chunk of them.
Every second one has a channel of HBM2 at 300 MHz behind each port, the others ideal memory. The exit code is 1 when a
prediction is off by more than `--bound` percent.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.random_llama import llama_graph
from einloom.catalogue import load_config
from einloom.generators.cached_designs import cached_designs
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.cost.program_cost import job_cycles
from einloom.memory_sizes import sized
from einloom.sim.simulated_core import SimulatedCore
from einloom.spec.driver import SYSTEM
from einloom.spec.errors import InputError
from einloom.spec.isa import CoreError
from einloom.spec.memory_timing import CLOCK_MHZ, MemoryTiming
from einloom.spec.program import Program
from einloom.spec.token_table import token_rows

SHAPES = {
    "small": {"hidden": 128, "inner": 384, "heads": 4, "groups": 2, "layers": 2, "vocab": 256},
    "square": {"hidden": 256, "inner": 512, "heads": 4, "groups": 4, "layers": 1, "vocab": 512},
    "grouped": {"hidden": 256, "inner": 768, "heads": 8, "groups": 2, "layers": 1, "vocab": 256},
    "wide": {"hidden": 512, "inner": 1408, "heads": 4, "groups": 1, "layers": 1, "vocab": 1024},
}
CONFIGS = ("default", "core-int8", "bitmod-decode", "core-2ch", "core-4ch", "core-dsp", "lut-w4")
CONTEXT = 512
POSITIONS = (3, 450)
WORST = 10


class Compared(NamedTuple):
    """A job, its cycles, and those that were predicted for it."""

    config: str
    shape: str
    position: int
    tokens: int
    memory: str
    predicted: int
    rtl: int

    @property
    def error(self) -> float:
        return self.predicted / self.rtl - 1


def compare(config_name: str, shape: str) -> Iterator[Compared]:
    """The jobs of a shape on a core; InputError when it doesn't fit."""
    graph = llama_graph(**SHAPES[shape], context=CONTEXT)
    config = load_config(config_name)
    sized(config, graph)
    (design,) = cached_designs(config)
    manifest = design.manifest
    program = runnable(shape_only_program(graph, manifest), manifest.core.beat_bytes)
    rows = manifest.gemm.rows
    jobs = [(position, 1) for position in POSITIONS]
    if rows > 1:
        jobs.append((POSITIONS[0] * rows, rows))
    timings = {"ideal": MemoryTiming(), "HBM2": MemoryTiming.hbm(manifest.core.beat_bytes * 8, CLOCK_MHZ)}
    with SimulatedCore(design, program) as core:
        for number, (position, tokens) in enumerate(jobs):
            memory = list(timings)[number % len(timings)]
            core.timing = timings[memory]
            row = (program.symbols.tokens + position) * manifest.core.beat_bytes
            core.load(SYSTEM, row, token_rows(range(tokens), position, manifest.core.beat_bytes))
            result = core.run(position, tokens)
            if result.error is not CoreError.NONE:
                raise SystemExit(f"{config_name} {shape}: the core stopped with {result.error.name.lower()}")
            rtl = result.counters["cycles"]
            predicted = job_cycles(manifest, program, timings[memory], position, tokens)
            yield Compared(config_name, shape, position, tokens, memory, predicted, rtl)


def runnable(program: Program, beat_bytes: int) -> Program:
    """A program of which only the shape is known, with its instructions in the system's image."""
    system = program.system.copy()
    code = b"".join(instruction.encode() for instruction in program.instructions)
    start = program.symbols.program * beat_bytes
    system[start : start + len(code)] = np.frombuffer(code, np.uint8)
    return replace(program, system=system)


def table(title: str, rows: list[Compared]) -> Table:
    """The jobs as a table."""
    headings = ("config", "shape", "position", "tokens", "memory", "predicted", "RTL", "predicted over RTL")
    shown = Table(title=title)
    for heading in headings:
        shown.add_column(heading, justify="right")
    for row in rows:
        numbers = (f"{n:,}" for n in (row.predicted, row.rtl))
        shown.add_row(
            row.config, row.shape, str(row.position), str(row.tokens), row.memory, *numbers, f"{1 + row.error:.4f}"
        )
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--configs", nargs="*", default=CONFIGS)
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--bound", type=float, default=2.0, help="percent")
    arguments = parser.parse_args()
    found = list[Compared]()
    for config in arguments.configs:
        for shape in arguments.shapes:
            started = time.perf_counter()
            try:
                for row in compare(config, shape):
                    found.append(row)
                    print(*row, f"{row.error:+.2%}", flush=True)
            except InputError as error:
                print(f"{config} {shape}: {error}", flush=True)
            print(f"{config} {shape}: {time.perf_counter() - started:.0f} s", flush=True)
    worst = sorted(found, key=lambda row: -abs(row.error))
    console = Console(width=140)
    console.print(table("all", found))
    console.print(table(f"the worst {WORST}", worst[:WORST]))
    inside = sum(abs(row.error) * 100 <= arguments.bound for row in found)
    mean = sum(abs(row.error) for row in found) / max(1, len(found))
    console.print(f"{inside} of {len(found)} within {arguments.bound:g} %; mean of the errors' sizes {mean:.2%}")
    return int(inside < len(found))


if __name__ == "__main__":
    raise SystemExit(main())
