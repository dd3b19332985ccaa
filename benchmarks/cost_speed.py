"""Time and memory that the cost model takes for LLaMA-2-7B, from its shape alone.

    python -m benchmarks.cost_speed [CONFIG] [--positions 0 1023 2047] [--layers 32]

The program is compiled once, and a decoding step simulated at each position, with a channel of HBM2 behind each port.
The exit code is 1 above 10 seconds of work or 1 GiB. `benchmarks/decoder_layer.py` measures the step with one layer on
RTL.
"""

import argparse
import resource
import time

from benchmarks.decoder_layer import SHAPES
from benchmarks.random_llama import llama_graph
from einloom.catalogue import load_config
from einloom.generators.registry import describe
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.cost.core_simulation import CoreSimulation
from einloom.memory_sizes import sized
from einloom.spec.memory_timing import CLOCK_MHZ, MemoryTiming

SECONDS, BYTES = 10, 1 << 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", nargs="?", default="u280-dense")
    parser.add_argument("--positions", type=int, nargs="*", default=[0, 1023, 2047])
    parser.add_argument("--layers", type=int, default=SHAPES["llama-2-7b"].layers)
    arguments = parser.parse_args()
    started = time.perf_counter()
    shape = SHAPES["llama-2-7b"]._asdict() | {"layers": arguments.layers}
    graph = llama_graph(**shape, context=max(arguments.positions) + 1)
    manifest = describe(sized(load_config(arguments.config), graph))
    program = shape_only_program(graph, manifest)
    print(f"{len(program.instructions):,} instructions in {time.perf_counter() - started:.1f} s", flush=True)
    end = program.layer_ends([layer.name for layer in graph.layers])[-1]
    timing = MemoryTiming.hbm(8 * manifest.core.beat_bytes, CLOCK_MHZ)
    for position in arguments.positions:
        simulation = CoreSimulation(manifest, program.instructions, timing)
        cycles = simulation.run(position, 1)
        layers = max(executed.ends for executed in simulation.executed if executed.index < end)
        rate = CLOCK_MHZ * 1e6 / cycles
        print(f"position {position:,}: {cycles:,} cycles, {rate:.1f} tokens/s at {CLOCK_MHZ:g} MHz;", end=" ")
        print(f"{layers:,} up to the end of the last layer, {cycles - layers:,} behind it", flush=True)
    seconds, work = time.perf_counter() - started, time.process_time()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{seconds:.1f} s, {work:.1f} s of them at work with all imports, and {most / (1 << 20):.0f} MiB in all")
    return int(work > SECONDS or most > BYTES)


if __name__ == "__main__":
    raise SystemExit(main())
