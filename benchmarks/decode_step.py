"""One decode step of a model of any size on a core's RTL, every bit compared with golden.

    python -m benchmarks.decode_step MODEL -c core-2ch --prompt "The capital of France is" [--chat] [--tokens 8]

The golden model reads all tokens of the prompt but the last one. The simulated core then gets golden's cache of keys
and values, and computes the last token: all layers and the head. With `--tokens N` it computes the last N in one step,
as `einloom run --speculate N` has a draft verified. The whole memory is compared in the end. So a model
whose prompt would take days on RTL shows its decode step in minutes.
"""

import argparse
import time

import numpy as np

from einloom.catalogue import load_config
from einloom.compiled import compile as compile_for
from einloom.generators.cached_designs import cached_designs
from einloom.mapping.cost.program_cost import job_cycles
from einloom.models.core_decoder import CheckedDecoder, CoreDecoder
from einloom.sim.golden.driver import GoldenDriver
from einloom.sim.simulated_core import SimulatedCore
from einloom.spec.driver import JobResult
from einloom.spec.isa import UNITS
from einloom.spec.memory_timing import CLOCK_MHZ, MemoryTiming


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("-c", "--config", default="core-2ch")
    parser.add_argument("--prompt", default="The capital of France is")
    parser.add_argument("--chat", action="store_true", help="take the prompt as a message, by the chat template")
    parser.add_argument("--tokens", type=int, default=1, help="of the step")
    parser.add_argument("--latency", type=int, default=100, help="of ideal memory, in cycles")
    parser.add_argument("--hbm", action="store_true", help="HBM2 behind each port, at 300 MHz")
    arguments = parser.parse_args()
    compiled = compile_for(arguments.model, load_config(arguments.config))
    model, manifest, program = compiled.model, compiled.manifest, compiled.program
    message = [{"role": "user", "content": arguments.prompt}]
    tokens = model.encode_chat(message) if arguments.chat else model.encode(arguments.prompt)
    golden, results = GoldenDriver(manifest, program), list[JobResult]()
    sizes = manifest.core.gemm.rows, manifest.core.beat_bytes
    reference = CoreDecoder(golden, program, *sizes)
    started = time.perf_counter()
    before, step = tokens[: -arguments.tokens], tokens[-arguments.tokens :]
    if before:
        reference.step(before)
    print(f"golden read {len(before)} tokens in {time.perf_counter() - started:.1f} s", flush=True)
    (design,) = cached_designs(manifest.config)
    cached = [number for lane in manifest.core.cache_memories for number in lane]
    start, size = program.symbols.cache * sizes[1], program.symbols.cache_beats * sizes[1]
    timing = MemoryTiming.hbm(8 * sizes[1], CLOCK_MHZ) if arguments.hbm else MemoryTiming(latency=arguments.latency)
    with SimulatedCore(design, program, timing=timing) as core:
        for number in cached:
            core.load(number, start, golden.dump(number, start, size))
        tested = CheckedDecoder(CoreDecoder(core, program, *sizes, results.append), reference)
        tested.rewind(len(before))
        started = time.perf_counter()
        logits = tested.step(step)
        seconds = time.perf_counter() - started
        found, expected = (np.concatenate([d.dump(number, start, size) for number in cached]) for d in (core, golden))
    if not np.array_equal(found, expected):
        raise SystemExit(f"{np.count_nonzero(found != expected)} bytes of the cache are not golden's")
    counters = {name: sum(result.counters[name] for result in results) for name in results[0].counters}
    cycles = counters["cycles"]
    ports = compiled.manifest.core.ports
    shares = [counters[f"{port.name}_beats"] / cycles for port in ports if port.channel is not None]
    print(f"position {len(before)}, {len(step)} tokens in {len(results)} jobs")
    print(f"all {logits.size:,} logits and the cache are golden's, bit for bit")
    print(f"next token: {model.tokenizer.decode([int(logits[-1].argmax())])!r}")
    print(f"{cycles:,} cycles in {seconds:.0f} s; a channel brings weights in {np.mean(shares):.1%} of them")
    predicted = job_cycles(manifest, program, timing, len(before), len(step))
    print(f"predicted: {predicted:,} cycles, {predicted / cycles:.4f} of them")
    print("busy: " + ", ".join(f"{u.name.lower()} {counters[f'{u.name.lower()}_busy']:,}" for u in UNITS))


if __name__ == "__main__":
    main()
