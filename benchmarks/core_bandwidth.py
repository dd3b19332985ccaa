"""Share of what memory gives in which a channel accepts a beat, over a whole decoding step of a bandwidth-bound model.

    python -m benchmarks.core_bandwidth [--positions 255 ...] [--groups 4 ...] [--hbm [MHZ]] [CONFIG ...]

Hidden size 1024, FFN 2816, 2 layers, 16 heads that share keys and values in `--groups`, vocabulary 512; random weights,
and a cache of zeros in front of the token, which costs as much as any other. Beats are those of weights and, where the
cache lies behind the channels, of keys and values. All memory is compared with golden's at the end.
"""

import argparse
import time
from itertools import product

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.random_llama import llama_graph, random_tensors, unit_scales
from einloom.catalogue import load_config
from einloom.generators.registry import generate_all
from einloom.mapping.codegen.decoder import compile_decoder
from einloom.models.core_decoder import CoreDecoder
from einloom.sim.golden.driver import GoldenDriver
from einloom.sim.simulated_core import SimulatedCore
from einloom.spec.isa import UNITS
from einloom.spec.memory_ports import memory_ports
from einloom.spec.memory_timing import MemoryTiming

SHAPE = {"hidden": 1024, "inner": 2816, "layers": 2, "heads": 16, "vocab": 512}
LEAST_CONTEXT = 512
"""Positions that are left room for, or as many more as the largest position asks for."""


def measure(
    config_name: str, format: str, groups: int, context: int, position: int, timing: MemoryTiming
) -> dict[str, int]:
    """The counters of one step. Steps of one `context` share a simulator."""
    config = load_config(config_name)
    (design,) = generate_all(config)
    manifest = design.manifest
    model = llama_graph(**SHAPE, groups=groups, context=context)
    tensors, floats = random_tensors(model, format, config.gemm.group, seed=1)
    program = compile_decoder(model, tensors, floats, unit_scales(model), manifest)
    gemm = manifest.gemm
    golden = GoldenDriver(manifest, program)
    results = []
    with SimulatedCore(design, program, timing=timing) as core:
        for driver in (golden, core):
            decoder = CoreDecoder(driver, program, gemm.rows, gemm.weights.beat_bits // 8, results.append)
            decoder.position = position
            decoder.step([17])
        for number, image in enumerate(program.images):
            found, expected = (d.dump(number, 0, image.size) for d in (core, golden))
            if not np.array_equal(found, expected):
                wrong = np.count_nonzero(found != expected)
                raise SystemExit(f"{wrong} bytes of memory {number} are not golden's")
    return results[-1].counters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("configs", nargs="*", default=["core-2ch", "core-4ch"])
    parser.add_argument("--formats", nargs="*", default=["bitmod-fp4", "bitmod-fp3"])
    parser.add_argument("--positions", type=int, nargs="*", default=[255])
    parser.add_argument("--groups", type=int, nargs="*", default=[4], help="heads of keys and values, for 16 queries")
    parser.add_argument("--latency", type=int, default=100, help="of ideal memory, in cycles")
    parser.add_argument("--hbm", type=float, nargs="?", const=300.0, metavar="MHZ", help="HBM2 beside this clock")
    arguments = parser.parse_args()
    behind = f"HBM2 at {arguments.hbm:g} MHz" if arguments.hbm else f"memory latency {arguments.latency} cycles"
    table = Table(title=f"one decoding step, {behind}")
    for heading in (
        "config",
        "format",
        "heads",
        "position",
        "cycles",
        "beats over what memory gives",
        *(u.name.lower() for u in UNITS),
        "starved",
        "s",
    ):
        table.add_column(heading, justify="right")
    for config in arguments.configs:
        core, memory = load_config(config).core_section, load_config(config).memory
        ports = memory_ports(memory.channels, cache_in_channels=core.cache_memory == "channels")
        names = [list(port.counters) for port in ports if port.channel is not None]
        bits = memory.beat_bits
        timing = MemoryTiming.hbm(bits, arguments.hbm) if arguments.hbm else MemoryTiming(latency=arguments.latency)
        context = max(LEAST_CONTEXT, max(arguments.positions) + 1)
        for format, groups, position in product(arguments.formats, arguments.groups, arguments.positions):
            started = time.perf_counter()
            counters = measure(config, format, groups, context, position, timing)
            cycles = counters["cycles"]
            gives = cycles * timing.beat_share
            shares = " ".join(f"{sum(counters[name] for name in of) / gives:.1%}" for of in names)
            units = (f"{counters[f'{u.name.lower()}_busy']:,}" for u in UNITS)
            seconds = f"{time.perf_counter() - started:.0f}"
            what = (config, format, f"16 of {groups}", f"{position:,}", f"{cycles:,}")
            table.add_row(*what, shares, *units, f"{counters['gemm_starved']:,}", seconds)
            print(f"{', '.join(what)} cycles, beats over what memory gives {shares}", flush=True)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
