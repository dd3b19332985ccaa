"""One decoder layer and the head of a real model's shape on a core in simulation: cycles, share of a card's memory.

    python -m benchmarks.decoder_layer CONFIG [--shape llama-2-7b] [--format bitmod-fp4] [--position 1023]
    python -m benchmarks.decoder_layer u280-accllm --format int2-2of4 --attention-window 512 --sinks 32
    python -m benchmarks.decoder_layer benchmarks/u280-flightllm.yaml --format int4-8of16 --other self_attn=int4
    python -m benchmarks.decoder_layer u280-prefill --tokens 256 --position 255

Random weights, and a cache of random bytes in front of the token; memories behind the ports are HBM2 channels. All
memory that the core writes is compared with golden's in every byte. The cycles of a whole token are those of this
layer, times the model's layers, and of the rest of the step once. With `--tokens` it is a job of so many, the last
one at the position; all but its last chunk go through the layer only.
"""

import argparse
import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from benchmarks.random_llama import llama_graph, random_tensors, unit_scales
from einloom.catalogue import load_config
from einloom.generators.cached_designs import cached_designs
from einloom.mapping.codegen.decoder import compile_decoder
from einloom.memory_sizes import sized
from einloom.models.core_decoder import CoreDecoder
from einloom.models.sliding_window import windowed
from einloom.sim.golden.driver import GoldenDriver
from einloom.sim.simulated_core import SimulatedCore
from einloom.spec.driver import JobResult
from einloom.spec.formats import format_named
from einloom.spec.isa import UNITS
from einloom.spec.manifest import Manifest
from einloom.spec.memory_ports import Traffic
from einloom.spec.memory_timing import MemoryTiming

CARD_BYTES_PER_SECOND = 32 * 13.27e9
"""Of the U280's 32 pseudo-channels, as Shuhai (FCCM 2020) measured them."""
WATCHDOG = 1 << 20


class Shape(NamedTuple):
    """A Llama's sizes, from its config.json."""

    hidden: int
    inner: int
    heads: int
    groups: int
    vocab: int
    layers: int

    @property
    def macs(self) -> int:
        """Weights of a layer's matrices, each of which a token multiplies once."""
        mixed = self.hidden // self.heads * self.groups
        return 2 * self.hidden * (self.hidden + mixed) + 3 * self.hidden * self.inner


SHAPES = {
    "llama-2-7b": Shape(4096, 11008, 32, 32, 32000, 32),
    "llama-3-8b": Shape(4096, 14336, 32, 8, 128256, 32),
    "tinyllama": Shape(2048, 5632, 32, 4, 32000, 22),
}


class Model(NamedTuple):
    """A model of one layer: its shape, the format of its matrices and of those whose names contain a word, and how many
    positions a token sees, 0 for all, and how many first ones always."""

    shape: Shape
    format: str
    others: Mapping[str, str]
    window: int
    sinks: int


class Measured(NamedTuple):
    """A decoding step: its counters, cycles up to the end of its only layer, and seconds of building and running."""

    manifest: Manifest
    counters: dict[str, int]
    layer: int
    build_seconds: float
    run_seconds: float


def measure(config_name: str, model: Model, position: int, tokens: int, clock_mhz: float) -> Measured:
    """A job of so many tokens, the last one at a position, of a model with a single layer; SystemExit when a byte of
    memory is not golden's."""
    sizes = {name: getattr(model.shape, name) for name in ("hidden", "inner", "heads", "groups", "vocab")}
    graph = llama_graph(**sizes, layers=1, context=position + 1)
    if model.window:
        graph = windowed(graph, model.window, model.sinks, graph.context)
    config = sized(load_config(config_name), graph)
    (design,) = cached_designs(config)
    manifest, core_manifest = design.manifest, design.manifest.core
    tensors, floats = random_tensors(graph, model.format, config.gemm.group, seed=1, others=model.others)
    program = compile_decoder(graph, tensors, floats, unit_scales(graph), manifest)
    print(
        f"{config.name}: {len(program.instructions)} instructions, {program.image_bytes:,} bytes of memory", flush=True
    )
    golden, results = GoldenDriver(manifest, program), list[JobResult]()
    started = time.perf_counter()
    timing = MemoryTiming.hbm(config.memory.beat_bits, clock_mhz)
    with SimulatedCore(design, program, timing=timing, watchdog=WATCHDOG) as core:
        build_seconds, rng = time.perf_counter() - started, np.random.default_rng(2)
        start, size = (n * core_manifest.beat_bytes for n in (program.symbols.cache, program.symbols.cache_beats))
        for number in (number for lane in core_manifest.cache_memories for number in lane):
            cache = rng.integers(0, 256, size).astype(np.uint8)
            for driver in (golden, core):
                driver.load(number, start, cache)
        for driver in (golden, core):
            started = time.perf_counter()
            decoder = CoreDecoder(driver, program, manifest.gemm.rows, core_manifest.beat_bytes, results.append)
            decoder.position = position + 1 - tokens
            decoder.step([17 + token % 64 for token in range(tokens)])
        run_seconds = time.perf_counter() - started
        for number in core_manifest.written_memories:
            found, expected = (d.dump(number, 0, program.images[number].size) for d in (core, golden))
            if not np.array_equal(found, expected):
                raise SystemExit(f"{np.count_nonzero(found != expected)} bytes of memory {number} are not golden's")
        (end,) = program.layer_ends([layer.name for layer in graph.layers])
        layer = max(last for _, index, _, last in core.trace() if index < end)
    return Measured(manifest, results[-1].counters, layer, build_seconds, run_seconds)


def most_macs(manifest: Manifest, format: str) -> int:
    """Products that the array makes in a cycle when nothing waits."""
    layout = manifest.gemm.weights
    return manifest.gemm.rows * manifest.gemm.columns * layout.lanes // layout.step(format_named(format).stored).cycles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--shape", choices=SHAPES, default="llama-2-7b")
    parser.add_argument("--format", default="bitmod-fp4")
    parser.add_argument("--other", action="append", default=[], metavar="WORD=FORMAT", help="of some matrices")
    parser.add_argument("--attention-window", type=int, default=0, metavar="N", help="positions that a token sees")
    parser.add_argument("--sinks", type=int, default=0, metavar="N", help="first positions that it always sees")
    parser.add_argument("--position", type=int, default=1023)
    parser.add_argument("--tokens", type=int, default=1, help="of the job; 1 is a decoding step")
    parser.add_argument("--clock", type=float, default=300.0, metavar="MHZ")
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    others = dict(other.split("=", 1) for other in arguments.other)
    model = Model(shape, arguments.format, others, arguments.attention_window, arguments.sinks)
    if not 0 < arguments.tokens <= arguments.position + 1:
        parser.error(f"--tokens {arguments.tokens}: 1 to {arguments.position + 1} tokens end at that position")
    found = measure(arguments.config, model, arguments.position, arguments.tokens, arguments.clock)
    counters, ports = found.counters, found.manifest.core.ports
    cycles, beat = counters["cycles"], found.manifest.core.beat_bytes
    moved = {t: sum(counters.get(f"{t}{p.channel}_beats", 0) for p in ports) * beat for t in Traffic}
    per_cycle = CARD_BYTES_PER_SECOND / (arguments.clock * 1e6)
    token = shape.layers * found.layer + cycles - found.layer
    formats = ", ".join([arguments.format, *arguments.other])
    if model.window:
        formats += f", window {model.window} and {model.sinks} sinks"
    print(f"{arguments.shape}, {formats}, position {arguments.position}: all memory golden's, bit for bit")
    print(f"cycles: {found.layer:,} to the end of the layer, {cycles - found.layer:,} behind it")
    print(f"moved: {moved[Traffic.WEIGHTS]:,} bytes of weights, {moved[Traffic.CACHE]:,} of keys and values")
    share = (moved[Traffic.WEIGHTS] + moved[Traffic.CACHE]) / (cycles * per_cycle)
    print(f"{share:.1%} of the {CARD_BYTES_PER_SECOND / 1e9:.0f} GB/s of a U280")
    rate = arguments.tokens * arguments.clock * 1e6 / token
    print(f"{shape.layers} layers and the head: {token:,} cycles, {rate:.1f} tokens/s at {arguments.clock:g} MHz")
    if arguments.tokens > 1:
        macs, peak = arguments.tokens * shape.macs / found.layer, most_macs(found.manifest, arguments.format)
        print(f"layer: {macs:,.0f} MACs a cycle of {peak:,}, {macs / peak:.1%}")
    busy = ", ".join(f"{u.name.lower()} {counters[f'{u.name.lower()}_busy']:,}" for u in UNITS)
    print(f"busy: {busy}; starved: gemm {counters['gemm_starved']:,}, attention {counters['attention_starved']:,}")
    print(f"built and started in {found.build_seconds:.0f} s, {cycles / found.run_seconds:.0f} cycles/s")


if __name__ == "__main__":
    main()
