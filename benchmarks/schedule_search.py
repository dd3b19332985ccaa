"""Cycles on RTL with the schedule that is searched for, over those with the standard one.

    python -m benchmarks.schedule_search [--configs default core-4ch] [--shapes small ...] [--goal decode]

Shapes are those of benchmarks/cost_accuracy.py, and the shipped model's; weights and cache are zeros, since no latency
depends on data. The job is a token at the end of the context, or a chunk there, with a channel of HBM2 at 300 MHz
behind each port.
"""

import argparse

from rich.console import Console
from rich.table import Table

from benchmarks.cost_accuracy import CONTEXT, SHAPES, runnable
from benchmarks.random_llama import llama_graph
from einloom.catalogue import load_config, load_graph
from einloom.generators.cached_designs import cached_designs
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.cost.schedule_search import Found, ScheduleGoal, search
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.memory_sizes import sized
from einloom.models.decoder_graph import DecoderGraph
from einloom.sim.simulated_core import SimulatedCore
from einloom.spec.driver import SYSTEM
from einloom.spec.formats import format_named
from einloom.spec.isa import CoreError
from einloom.spec.memory_timing import CLOCK_MHZ, MemoryTiming
from einloom.spec.token_table import token_rows

SHIPPED = "shakespeare-1m"


def graph_of(shape: str) -> DecoderGraph:
    """A shape's decoder."""
    return load_graph(None) if shape == SHIPPED else llama_graph(**SHAPES[shape], context=CONTEXT)


def compare(config_name: str, shape: str, goal: ScheduleGoal) -> tuple[Found, list[int]]:
    """What the search finds, and cycles on RTL with the standard schedule and with that."""
    graph = graph_of(shape)
    config = sized(load_config(config_name), graph)
    (design,) = cached_designs(config)
    manifest = design.manifest
    timing = MemoryTiming.hbm(8 * manifest.core.beat_bytes, CLOCK_MHZ)
    format = format_named(manifest.gemm.weights.steps[0].format)
    found = search(graph, manifest, format, graph.context, goal, timing)
    tokens = manifest.gemm.rows if goal is ScheduleGoal.prefill else 1
    position = graph.context - tokens

    def rtl(schedule: Schedule) -> int:
        made = shape_only_program(graph, manifest, format, graph.context, schedule)
        program = runnable(made, manifest.core.beat_bytes)
        with SimulatedCore(design, program, timing=timing) as core:
            row = (program.symbols.tokens + position) * manifest.core.beat_bytes
            core.load(SYSTEM, row, token_rows(range(tokens), position, manifest.core.beat_bytes))
            result = core.run(position, tokens)
        if result.error is not CoreError.NONE:
            raise SystemExit(f"{config_name} {shape}: the core stopped with {result.error.name.lower()}")
        return result.counters["cycles"]

    return found, [rtl(schedule) for schedule in (STANDARD, found.schedule)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="*", default=["default", "core-4ch"])
    parser.add_argument("--shapes", nargs="*", choices=[*SHAPES, SHIPPED], default=[*SHAPES, SHIPPED])
    parser.add_argument("--goal", choices=list(ScheduleGoal), default="decode")
    args = parser.parse_args()
    table = Table("config", "shape", "schedule", "standard", "searched", "fewer", "fewer, predicted")
    for config in args.configs:
        for shape in args.shapes:
            found, (standard, searched) = compare(config, shape, ScheduleGoal(args.goal))
            row = (config, shape, found.changed, f"{standard:,}", f"{searched:,}", f"{1 - searched / standard:.2%}")
            table.add_row(*row, f"{found.saved:.2%}")
            print(*row, f"{found.saved:.2%}", flush=True)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
