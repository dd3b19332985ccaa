"""Small GEMM engines in Amaranth's simulator, against golden."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from einloom.generators.gemm import gemm_engine
from einloom.generators.registry import pe_spec
from einloom.hw.array.engine import GemmEngine
from einloom.hw.part import Part
from einloom.mapping.gemm_operands import pack_activations, pack_job, pack_weights
from einloom.sim.bench.batch import Job
from einloom.sim.bench.cases import random_activations, random_tensor
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.sim.golden.engines import golden_sums
from einloom.sim.strategies import make_config
from einloom.spec.formats import FORMATS
from einloom.spec.manifest import GemmManifest
from einloom.spec.quantized import QuantizedTensor


def engine(kind: Mapping[str, object], *, channels: int = 1, beat_bits: int = 64) -> tuple[GemmEngine, GemmManifest]:
    """The engine of a config's section, and what a program must know of it."""
    config = make_config(dict(kind), channels=channels, beat_bits=beat_bits)
    return gemm_engine(config, pe_spec(config))


def pe_of(part: GemmEngine) -> type[Part]:
    """The class of its PEs."""
    pe = part.spec.pe.part()
    pe._MustUse__used = True  # only asked for its class
    return type(pe)


def jobs_for(manifest: GemmManifest, seed: int, shapes: Sequence[tuple[int, int, int]]) -> list[Job]:
    """Random jobs of (tokens, tiles, blocks), each with the next of the engine's formats."""
    rng = np.random.default_rng(seed)
    jobs = []
    for n, (tokens, tiles, blocks) in enumerate(shapes):
        step = manifest.weights.steps[n % len(manifest.weights.steps)]
        inputs = blocks * manifest.weights.block
        tensor = random_tensor(rng, manifest, FORMATS[step.format], tiles * manifest.columns, inputs)
        jobs.append(Job(f"job {n}", tensor, random_activations(rng, manifest, tokens, inputs)))
    return jobs


def activations(jobs: Sequence[Job], manifest: GemmManifest) -> Callable[[Cycle], None]:
    """The memory of activations: a step in the cycle behind its read."""
    words = [pack_activations(job.activations, manifest) for job in jobs]
    current = -1

    def partner(cycle: Cycle) -> None:
        nonlocal current
        if cycle["activation_read"]:
            step = words[current].reshape(-1, len(words[current].ravel()) // _steps(jobs[current], manifest))
            cycle.set("activations", int.from_bytes(step[cycle["activation_address"]].tobytes(), "little"))
        if cycle.taken("job") is not None:
            current += 1

    return partner


def _steps(job: Job, manifest: GemmManifest) -> int:
    return job.tensor.shape[1] // manifest.weights.inputs


def beats(job: Job, manifest: GemmManifest) -> list[list[int]]:
    """Of each channel."""
    size = manifest.weights.beat_bits // 8
    streams = pack_weights(job.tensor, manifest.weights)
    return [[int.from_bytes(s[n : n + size].tobytes(), "little") for n in range(0, len(s), size)] for s in streams]


def whole_tiles(tensor: QuantizedTensor, columns: int) -> QuantizedTensor:
    """Filled up with outputs of code 0 and scale 0, as in memory."""
    missing = -len(tensor.codes) % columns
    filled = {name: np.pad(getattr(tensor, name), ((0, missing), (0, 0))) for name in ("codes", "scales", "selectors")}
    return replace(tensor, **filled, channel_scale=np.pad(tensor.channel_scale, (0, missing)))


def sums(job: Job, manifest: GemmManifest) -> list[list[int]]:
    """The beats of results that golden has: of each tile and token those of all columns."""
    value, exponent = golden_sums(manifest, whole_tiles(job.tensor, manifest.columns), job.activations)
    layout = manifest.sums
    bits = (value & (1 << layout.value_bits) - 1) | exponent << layout.value_bits
    by_tile = bits.reshape(len(bits), -1, manifest.columns).swapaxes(0, 1)
    return by_tile.reshape(-1, manifest.columns).tolist()


def check(
    part: GemmEngine, manifest: GemmManifest, jobs: Sequence[Job], pause: float, *, limit: int = 60_000
) -> dict[str, list[int]]:
    """Every bit of every sum; returns the cycles of what came out."""
    weights = [[] for _ in range(manifest.weights.channels)]
    for job in jobs:
        for channel, stream in zip(weights, beats(job, manifest), strict=True):
            channel += stream
    words = []
    for job in jobs:
        outputs, inputs = job.tensor.shape
        size = {"inputs": inputs, "outputs": outputs, "tokens": len(job.activations)}
        words.append(pack_job(manifest, format=job.tensor.format, **size))
    streams = {f"weights_{n}": stream for n, stream in enumerate(weights)}
    bench = PartBench(
        part,
        {"job": words, **streams},
        pauses=dict.fromkeys(("job", "sums", *streams), pause),
        partners=[activations(jobs, manifest)],
        limit=limit,
    )
    return bench.check(lambda _: {"sums": [beat for job in jobs for beat in sums(job, manifest)]}).cycles
