"""Batches of jobs as the files and port values that gemm_bench.sv wants, and its results as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from einloom.mapping.gemm_operands import pack_activations, pack_job, pack_weights
from einloom.spec.errors import CheckFailed
from einloom.spec.manifest import Manifest, SumLayout
from einloom.spec.quantized import QuantizedTensor

MAX_STEPS = 16384  # DEPTH in gemm_bench.sv
IDLE_CYCLES = 100_000  # more than any stall pattern adds to a beat
PATIENCE = 20_000  # more cycles than a design is silent on all its streams


@dataclass(frozen=True)
class Job:
    """`tensor` [N, K] times `activations` [T, K], with T at most the design's rows."""

    name: str
    tensor: QuantizedTensor
    activations: npt.NDArray[np.generic]

    @property
    def macs(self) -> int:
        return len(self.activations) * self.tensor.codes.size


@dataclass(frozen=True)
class Stalls:
    """Chances of a stall in a cycle, in 1/256, and the seed of all of them."""

    weights: int = 0
    sums: int = 0
    jobs: int = 0
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """Cost of a batch of GEMM jobs."""

    cycles: int
    accepted: int
    """Weight beats, all channels together."""
    early: int = 0
    """Cycles in which the design called itself idle although results were due."""


@dataclass(frozen=True)
class Sums:
    """Results of a job: value, and exponent where the design has one (zeros elsewhere), int64 [T, N]."""

    value: npt.NDArray[np.int64]
    exponent: npt.NDArray[np.int64]


class WeightFiles:
    """The weight files of a folder, one per channel, and where each tensor starts in all of them."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._layout = manifest.gemm.weights
        self._paths = [folder / f"weights_{c}.bin" for c in range(self._layout.channels)]
        self._end = 0
        for path in self._paths:
            path.write_bytes(b"")

    def append(self, tensor: QuantizedTensor) -> tuple[int, int]:
        """Add `tensor`; returns (byte offset, beats) in every channel."""
        start = self._end
        for path, stream in zip(self._paths, pack_weights(tensor, self._layout), strict=True):
            with path.open("ab") as file:
                file.write(stream.tobytes())
            self._end = start + len(stream)
        return start, (self._end - start) * 8 // self._layout.beat_bits


def prepare(
    folder: Path, manifest: Manifest, jobs: Sequence[Job], weights: Sequence[tuple[int, int]], stalls: Stalls
) -> dict[str, int]:
    """Write the batch's files into `folder`; returns the values of the bench's ports.

    `weights` says where each job's beats are; they must follow each other without gaps.
    """
    gemm = manifest.gemm
    job_bits = sum(gemm.job.model_dump().values())
    words, lines, base, results, steps_times_cycles = [], [], 0, 0, 0
    for job in jobs:
        outputs, inputs = job.tensor.shape
        tokens = len(job.activations)
        word = pack_job(gemm, format=job.tensor.format, inputs=inputs, outputs=outputs, tokens=tokens)
        lines.append(f"{base << job_bits | word:x}")
        words.append(pack_activations(job.activations, gemm).tobytes())
        base += inputs // gemm.weights.inputs
        steps, tiles = inputs // gemm.weights.lanes, -(-outputs // gemm.columns)
        results += tokens * tiles
        steps_times_cycles += tiles * steps * gemm.weights.step(job.tensor.format).cycles
    if base > MAX_STEPS:
        raise ValueError(f"a batch holds at most {MAX_STEPS} steps of activations, not {base}")
    (folder / "jobs.hex").write_text("\n".join(lines) + "\n")
    (folder / "activations.bin").write_bytes(b"".join(words))
    beats = sum(count for _, count in weights)
    return {
        "jobs": len(jobs),
        "steps": base,
        "beats": beats,
        "weights_at": weights[0][0],
        "results": results,
        "seed": stalls.seed % 0xFFFFFFFF + 1,
        "weight_stall": stalls.weights,
        "sums_stall": stalls.sums,
        "job_stall": stalls.jobs,
        "patience": PATIENCE,
        "limit": IDLE_CYCLES + 300 * (beats + results) + 4 * steps_times_cycles,
    }


def collect(
    folder: Path, manifest: Manifest, jobs: Sequence[Job], ports: Mapping[str, int], outcome: Outcome
) -> list[Sums]:
    """The results of a batch; CheckFailed when their number or the number of beats taken is not what was asked for."""
    gemm = manifest.gemm
    beats = read_sums((folder / "sums.hex").read_text(), gemm.columns, gemm.sums)
    if len(beats.value) != ports["results"]:
        raise CheckFailed(f"{manifest.name}: {len(beats.value)} beats of sums came, not {ports['results']}")
    if outcome.accepted != ports["beats"] * gemm.weights.channels:
        raise CheckFailed(f"{manifest.name}: took {outcome.accepted} beats, not {ports['beats']} per channel")
    require_late_idle(outcome.early, manifest.name)
    found, start = [], 0
    for job in jobs:
        outputs, tokens = job.tensor.shape[0], len(job.activations)
        tiles = -(-outputs // gemm.columns)
        part = slice(start, start + tiles * tokens)
        start += tiles * tokens

        def arrange(
            values: npt.NDArray[np.int64], t: int = tokens, n: int = tiles, o: int = outputs
        ) -> npt.NDArray[np.int64]:
            return values.reshape(n, t, gemm.columns).transpose(1, 0, 2).reshape(t, -1)[:, :o]

        found.append(Sums(arrange(beats.value[part]), arrange(beats.exponent[part])))
    return found


def require_late_idle(early: int, what: str) -> None:
    """CheckFailed when a design called itself idle in `early` cycles although results were due."""
    if early:
        raise CheckFailed(f"{what}: idle in {early} cycles in which results were due")


def read_sums(text: str, columns: int, layout: SumLayout) -> Sums:
    """Lines of hexadecimal beats as value and exponent, [beats, columns] each."""
    lines = text.split()
    width = layout.value_bits + layout.exponent_bits
    if not lines:
        return Sums(np.zeros((0, columns), np.int64), np.zeros((0, columns), np.int64))
    digits = len(lines[0]) + len(lines[0]) % 2
    raw = bytes.fromhex("".join(line.rjust(digits, "0") for line in lines))
    little = np.frombuffer(raw, np.uint8).reshape(len(lines), -1)[:, ::-1]
    bits = np.unpackbits(little, axis=1, bitorder="little")[:, : columns * width].reshape(len(lines), columns, width)
    powers = 1 << np.arange(layout.value_bits, dtype=np.int64)
    powers[-1] = -powers[-1]
    exponents = 1 << np.arange(layout.exponent_bits, dtype=np.int64)
    value, exponent = bits[..., : layout.value_bits], bits[..., layout.value_bits :]
    return Sums(value.astype(np.int64) @ powers, exponent.astype(np.int64) @ exponents)
