"""Utilisation of the GEMM array while it is at work on a prompt, and a timeline of one chunk.

    python -m benchmarks.core_prefill [--tokens 256] [--timeline FILE] [CONFIG]

The model of benchmarks/core_bandwidth.py. A product's cycles at full utilisation are its bit-serial terms; they are
compared with the cycles in which the GEMM unit has an instruction. The memory is compared with golden's at the end.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.core_bandwidth import SHAPE
from benchmarks.random_llama import llama_graph, random_tensors, unit_scales
from einloom.catalogue import load_config
from einloom.generators.registry import generate_all
from einloom.mapping.codegen.decoder import compile_decoder
from einloom.models.core_decoder import CoreDecoder
from einloom.sim.golden.driver import GoldenDriver
from einloom.sim.simulated_core import SimulatedCore
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program
from einloom.timeline import draw_timeline


def term_cycles(program: Program, manifest: Manifest, chunks: int) -> int:
    """Cycles of all products of a job at full utilisation: those of the layers once a chunk, the head's once."""
    layout = manifest.gemm.weights
    total, times = 0, chunks
    for i in program.instructions:
        if i.opcode.name == "next":
            times = 1
        if i.opcode.name == "gemm":
            steps = i["tiles"] * i["blocks"] * layout.block // layout.lanes
            total += times * steps * layout.steps[i["format"]].cycles
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", nargs="?", default="core-16x32")
    parser.add_argument("--format", default="bitmod-fp4")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--latency", type=int, default=100)
    parser.add_argument("--timeline", type=Path)
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    (design,) = generate_all(config)
    manifest, model = design.manifest, llama_graph(**SHAPE)
    tensors, floats = random_tensors(model, arguments.format, config.gemm.group, seed=1)
    program = compile_decoder(model, tensors, floats, unit_scales(model), manifest)
    tokens = np.random.default_rng(1).integers(0, SHAPE["vocab"], arguments.tokens).tolist()
    golden, results = GoldenDriver(manifest, program), []
    with SimulatedCore(design, program, timing=MemoryTiming(latency=arguments.latency)) as core:
        for driver in (golden, core):
            started = time.perf_counter()
            CoreDecoder(driver, program, manifest.gemm.rows, manifest.gemm.weights.beat_bits // 8, results.append).step(
                tokens
            )
        seconds = time.perf_counter() - started
        written = manifest.core.written_memories
        found, expected = (
            np.concatenate([d.dump(n, 0, program.images[n].size) for n in written]) for d in (core, golden)
        )
        if arguments.timeline:
            chunks = -(-len(tokens) // manifest.gemm.rows)
            draw_timeline(core.trace(), program.instructions, arguments.timeline, part=(chunks - 1, chunks))
    if not np.array_equal(found, expected):
        raise SystemExit(f"{np.count_nonzero(found != expected)} bytes of memory are not golden's")
    counters = results[-1].counters
    terms = term_cycles(program, manifest, -(-len(tokens) // manifest.gemm.rows))
    print(f"{arguments.config} {arguments.format}, prompt of {len(tokens)}: memory equal to golden's in every byte")
    print(f"cycles {counters['cycles']:,}, GEMM unit at work {counters['gemm_busy']:,}, terms {terms:,}")
    print(
        f"GEMM utilisation while at work {terms / counters['gemm_busy']:.1%}, of all {terms / counters['cycles']:.1%}"
    )
    print(f"{seconds:.0f} s, {counters['cycles'] / seconds:,.0f} cycles/s; {counters}")


if __name__ == "__main__":
    main()
