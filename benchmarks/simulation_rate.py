"""Simulation rate of an engine: cocotb and Verilator, beside Amaranth's own simulator on the same array.

python -m benchmarks.simulation_rate [CONFIG]
"""

import argparse
import time
from contextlib import closing

import numpy as np
from amaranth.sim import Simulator
from rich.console import Console
from rich.table import Table

from einloom.catalogue import load_config
from einloom.generators.gemm import gemm_engine
from einloom.generators.registry import pe_spec
from einloom.mapping.gemm_operands import pack_activations, pack_job, pack_weights
from einloom.sim.bench.cases import random_activations, random_tensor
from einloom.sim.gemm_device import RtlDevice
from einloom.spec.config import Config

INPUTS = 4096


def verilator_rate(config: Config) -> tuple[float, float, float]:
    """(seconds of building or loading, cycles per second, MACs per second)."""
    started = time.perf_counter()
    with closing(RtlDevice(config)) as device:
        built = time.perf_counter() - started
        gemm, rng = device.design.manifest.gemm, np.random.default_rng(0)
        tensor = random_tensor(rng, gemm, config.engine.weight_formats[0], 16 * gemm.columns, INPUTS)
        device.load({"layer": tensor})
        activations = rng.integers(-128, 128, (gemm.rows, INPUTS), np.int8)
        device.linear("layer", activations)
        before, started = device.counters, time.perf_counter()
        for _ in range(5):
            device.linear("layer", activations)
        seconds = time.perf_counter() - started
        cycles, macs = device.counters.cycles - before.cycles, device.counters.macs - before.macs
    return built, cycles / seconds, macs / seconds


def amaranth_rate(config: Config, cycles: int) -> tuple[float, float, float]:
    """Rate of Amaranth's simulator, over the first `cycles` of the same kind of job."""
    started = time.perf_counter()
    top, manifest = gemm_engine(config, pe_spec(config))
    rng, format = np.random.default_rng(0), config.engine.weight_formats[0]
    tensor = random_tensor(rng, manifest, format, 16 * manifest.columns, INPUTS)
    beats = _words(pack_weights(tensor, manifest.weights)[0].tobytes(), manifest.weights.beat_bits // 8)
    activations = random_activations(rng, manifest, manifest.rows, INPUTS)
    width = manifest.rows * manifest.weights.lanes * manifest.activation_bits // 8
    steps = _words(pack_activations(activations, manifest).tobytes(), width)
    job = pack_job(manifest, format=format, inputs=INPUTS, outputs=tensor.shape[0], tokens=manifest.rows)
    taken = {"seconds": 0.0}

    async def bench(ctx):
        ctx.set(top.job.payload.as_value(), job)
        ctx.set(top.job.valid, 1)
        ctx.set(top.sums.ready, 1)
        ctx.set(top.weights[0].valid, 1)
        ctx.set(top.weights[0].payload, beats[0])
        next_beat, begun = 0, time.perf_counter()
        for _ in range(cycles):
            ready, accepted = ctx.get(top.job.ready), ctx.get(top.weights[0].ready)
            read, address = ctx.get(top.activation_read), ctx.get(top.activation_address)
            await ctx.tick()
            if ready:
                ctx.set(top.job.valid, 0)
            if accepted:
                next_beat += 1
                ctx.set(top.weights[0].payload, beats[next_beat])
            if read:
                ctx.set(top.activations, steps[address])
        taken["seconds"] = time.perf_counter() - begun

    simulator = Simulator(top)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    built = time.perf_counter() - started
    simulator.run()
    macs = cycles * manifest.macs_per_step / manifest.weights.step(format).cycles
    return built, cycles / taken["seconds"], macs / taken["seconds"]


def _words(raw: bytes, size: int) -> list[int]:
    return [int.from_bytes(raw[n : n + size], "little") for n in range(0, len(raw), size)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="default")
    parser.add_argument("--amaranth-cycles", type=int, default=300)
    args = parser.parse_args()
    config = load_config(args.config)
    rows = {
        "cocotb and Verilator": verilator_rate(config),
        "Amaranth's simulator": amaranth_rate(config, args.amaranth_cycles),
    }
    table = Table(title=f"Simulation rate of {config.name}")
    for heading in ("", "seconds before the first cycle", "cycles per second", "MACs per second"):
        table.add_column(heading, justify="right")
    for name, (built, cycles, macs) in rows.items():
        table.add_row(name, f"{built:.1f}", f"{cycles:,.0f}", f"{macs:,.0f}")
    fast, slow = (rows[name][1] for name in rows)
    Console().print(table, f"ratio: {fast / slow:,.0f}")


if __name__ == "__main__":
    main()
