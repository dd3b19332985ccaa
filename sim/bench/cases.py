"""Test cases for GEMM engines: the corners, and random ones from a seed."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from einloom.sim.bench.batch import MAX_STEPS, Job, Stalls
from einloom.spec.activations import ACTIVATIONS, Numbers
from einloom.spec.formats import FORMATS, Format
from einloom.spec.manifest import GemmManifest
from einloom.spec.quantized import QuantizedTensor
from einloom.spec.sparsity import largest

# Special values beyond the published ones; each has two signed terms (7 = 8 - 1).
SPECIALS = (3, -3, 5, -5, 6, -6, 7, -7, 9, 10, -10, 12, 16, -16, 17, -18, 20, 24)
MOST_STEPS = 39
"""Most steps of a random job without group scales."""
MOST_TILES = 3
"""Most tiles of a random job."""
LARGE = 16
"""Rows and columns of the largest jobs, which golden takes its time for."""
STALLED = (0, 40, 128, 240)


def random_tensor(
    rng: np.random.Generator, gemm: GemmManifest, format: Format, outputs: int, inputs: int
) -> QuantizedTensor:
    """Uniformly random codes, scales and selectors; scales are 1 for designs without group scales."""
    has_scales = gemm.weights.scale_bits > 0
    group = gemm.weights.block if has_scales else inputs
    groups = (outputs, inputs // group)
    selectors = 4 if format.special_code is not None else 1
    return QuantizedTensor(
        format=format,
        group=group,
        codes=fitting(format, rng.integers(0, len(format.table), (outputs, inputs), np.uint8), rng, gemm),
        scales=rng.integers(0, 256, groups, np.uint8) if has_scales else np.ones(groups, np.uint8),
        selectors=rng.integers(0, selectors, groups, np.uint8),
        channel_scale=np.ones(outputs, np.float32),
    )


def fitting(
    format: Format, codes: npt.NDArray[np.uint8], rng: np.random.Generator, gemm: GemmManifest
) -> npt.NDArray[np.uint8]:
    """`codes`, with random ones replaced by zeros as a sparse format wants it: another N in each block of a tile."""
    if format.sparse:
        return np.where(largest(rng.random(codes.shape)), codes, np.uint8(0))
    if not format.of:
        return codes
    outputs, inputs = codes.shape
    order = np.argsort(rng.random((outputs, inputs // format.of, format.of)), axis=-1).reshape(codes.shape)
    shape = (-(-outputs // gemm.columns), inputs // gemm.weights.block)
    counts = np.array([0, *(1 << n for n in range(format.of.bit_length()))])
    kept = rng.choice(counts, shape).repeat(gemm.columns, axis=0)[:outputs].repeat(gemm.weights.block, axis=1)
    return np.where(order < kept, codes, np.uint8(0))


def random_activations(rng: np.random.Generator, gemm: GemmManifest, tokens: int, inputs: int) -> Numbers:
    """Activations [tokens, inputs] of any value that the design takes."""
    return ACTIVATIONS[gemm.activations].random(rng, (tokens, inputs))


def random_batch(rng: np.random.Generator, gemm: GemmManifest, max_blocks: int = 4) -> tuple[list[Job], Stalls]:
    """One to four jobs of random shape, ragged in outputs and tokens, and random stalls."""
    jobs: list[Job] = []
    for n in range(int(rng.integers(1, 5))):
        format = FORMATS[gemm.weights.steps[rng.integers(len(gemm.weights.steps))].format]
        if format.special_code is not None and rng.random() < 0.5:
            format = replace(format, specials=tuple(int(v) for v in rng.choice(SPECIALS, 4)))
        unit, most = (gemm.weights.block, max_blocks) if gemm.weights.scale_bits else (gemm.weights.lanes, MOST_STEPS)
        inputs = unit * int(rng.integers(1, min(most, gemm.max_inputs // unit) + 1))
        outputs = int(rng.integers(1, min(MOST_TILES, gemm.max_tiles) * gemm.columns + 1))
        tokens = int(rng.integers(1, gemm.rows + 1))
        tensor = random_tensor(rng, gemm, format, outputs, inputs)
        jobs.append(Job(f"random-{n}", tensor, random_activations(rng, gemm, tokens, inputs)))
    while sum(job.tensor.shape[1] for job in jobs) // gemm.weights.lanes > MAX_STEPS:
        jobs.pop()
    weights, sums, waits = (int(v) for v in rng.choice(STALLED, 3))
    return jobs, Stalls(weights, sums, waits, seed=int(rng.integers(1, 1 << 31)))


def random_batches(gemm: GemmManifest, seed: int, cases: int) -> Iterator[tuple[str, list[Job], Stalls]]:
    """Batches of at least `cases` random jobs."""
    rng, drawn, number = np.random.default_rng(seed), 0, 0
    while drawn < cases:
        jobs, stalls = random_batch(rng, gemm)
        yield f"batch {number} of seed {seed}", jobs, stalls
        drawn, number = drawn + len(jobs), number + 1


def corner_batches(gemm: GemmManifest) -> Iterator[tuple[str, list[Job], Stalls]]:
    """Corner cases of each format: extremes of both signs, zeros, one element, and a long dot product at full scale."""
    rng = np.random.default_rng(0)
    block = gemm.weights.block if gemm.weights.scale_bits else gemm.weights.lanes
    long = block * min(4, gemm.max_inputs // block)
    outputs = gemm.columns + 1 if gemm.max_tiles > 1 else gemm.columns
    for step in gemm.weights.steps:
        format = FORMATS[step.format]
        values = [abs(v) for v in format.table]
        largest = int(np.argmax(values))
        for what, code, activation in (
            ("largest weight times lowest activation", largest, -128),
            ("largest weight times highest activation", largest, 127),
            ("special or lowest code times lowest activation", 1 << (format.bits - 1), -128),
            ("zero weights", 0, 127),
            ("zero activations", largest, 0),
        ):
            tensor = random_tensor(rng, gemm, format, outputs, long)
            scales = np.full_like(tensor.scales, 255 if gemm.weights.scale_bits else 1)
            tensor = replace(tensor, codes=fitting(format, np.full_like(tensor.codes, code), rng, gemm), scales=scales)
            yield (
                f"{format.name}: {what}",
                [Job(what, tensor, _constant(gemm, gemm.rows, long, activation))],
                Stalls(),
            )
        one = random_tensor(rng, gemm, format, 1, block)
        single = _constant(gemm, 1, block, 0)
        single[0, -1] = 1
        yield f"{format.name}: one output, one token, one non-zero input", [Job("one", one, single)], Stalls()
        quiet = replace(one, scales=np.zeros_like(one.scales) if gemm.weights.scale_bits else one.scales)
        yield f"{format.name}: zero scales", [Job("quiet", quiet, random_activations(rng, gemm, 1, block))], Stalls()
        yield from _longest(rng, gemm, format, largest)
        if ACTIVATIONS[gemm.activations].is_float:
            yield f"{format.name}: activations that double", [Job("doubling", one, _doubling(block))], Stalls()
        yield (
            f"{format.name}: two jobs back to back under back-pressure on every stream",
            [Job("first", one, single), Job("second", one, random_activations(rng, gemm, 1, block))],
            Stalls(weights=200, sums=250, jobs=200, seed=7),
        )


def _longest(
    rng: np.random.Generator, gemm: GemmManifest, format: Format, code: int
) -> Iterator[tuple[str, list[Job], Stalls]]:
    """As many inputs as the design takes, or as fit the bench: weights `code` and activations of either sign; any."""
    unit = gemm.weights.block
    inputs = unit * (min(gemm.max_inputs, MAX_STEPS * gemm.weights.lanes) // unit)
    # Only activations that differ show that each was read where it lies.
    job = Job("any", random_tensor(rng, gemm, format, 1, inputs), random_activations(rng, gemm, 1, inputs))
    yield f"{format.name}: most inputs, any weights and activations", [job], Stalls()
    tensor = random_tensor(rng, gemm, format, min(gemm.columns, LARGE), inputs)
    scales = np.full_like(tensor.scales, 255 if gemm.weights.scale_bits else 1)
    tensor = replace(tensor, codes=fitting(format, np.full_like(tensor.codes, code), rng, gemm), scales=scales)
    for what, activation in (("lowest", -128), ("highest", 127)):
        job = Job(what, tensor, _constant(gemm, min(gemm.rows, LARGE), inputs, activation))
        yield f"{format.name}: most inputs, largest weight times {what} activation", [job], Stalls()


def _doubling(inputs: int) -> npt.NDArray[np.generic]:
    """fp16 from the smallest number to the largest power of two, by as many steps as there are inputs."""
    exponents = np.linspace(-24, 15, inputs).round()
    return (2.0 ** exponents[None]).astype(np.float16)


def _constant(gemm: GemmManifest, tokens: int, inputs: int, value: int) -> Numbers:
    """Activations that are all `value`; -128 and 127 stand for the format's extremes."""
    format = ACTIVATIONS[gemm.activations]
    return format.constant((tokens, inputs), {-128: format.lowest, 127: format.highest}.get(value, value))
