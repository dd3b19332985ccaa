"""Causal grouped-query attention of a decoder: in float32, or on integers as an attention engine computes it.

Letters of shapes as in sim/golden/llama.py: T new tokens, S tokens so far, G key/value heads, R query heads for each of
them, D values per head.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from einloom.attention import MIN_HEAD, AttentionFormat, Mask
from mapping.attention import AttentionJob, quantise_channels, quantise_queries
from sim.golden.fusemax import attend

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
JobRunner = Callable[[Sequence[AttentionJob]], list[Integers]]
"""Computes jobs: outputs [F, P] of each, in the format's units."""


class Attention(Protocol):
    """Mixes values by the similarity of queries and keys."""

    def __call__(self, queries: Floats, keys: Floats, values: Floats) -> Floats:
        """float32 [T, G, R, D] of the last T of S tokens: queries [T, G, R, D], keys and values [S, G, D].

        Query t sees the keys of its own token and of all before it; scores are scaled by 1 / sqrt(D).
        """


def float_attention(queries: Floats, keys: Floats, values: Floats) -> Floats:
    """The reference: softmax(q k / sqrt(D)) v in float32."""
    scores = np.einsum("tgrd,sgd->grts", queries, keys) * np.float32(queries.shape[-1] ** -0.5)
    own = np.arange(len(keys) - len(queries), len(keys))[:, None]  # [T, 1]
    weights = softmax(np.where(np.arange(len(keys)) <= own, scores, np.float32(-np.inf)))
    mixed: Floats = np.einsum("grts,sgd->tgrd", weights, values)
    return mixed


class IntegerAttention:
    """Attention on quantised operands, computed by `run` in jobs of up to `columns` queries.

    Blocks of few queries, as in decoding, are split over `spans` columns per query.

    Keys and values have a scale per channel, over all tokens so far; queries have one each (mapping/attention.py). All
    queries of a key/value head, those of its whole group and of all new tokens, share its keys. Heads smaller than
    the engine's smallest are padded with zeros, which changes no score and adds outputs that nobody reads.

    Attributes
    ----------
    jobs : computed so far.
    """

    def __init__(self, run: JobRunner, format: AttentionFormat, columns: int, spans: int = 1) -> None:
        self.jobs = 0
        self._run = run
        self._format = format
        self._columns = columns
        self._spans = spans

    def __call__(self, queries: Floats, keys: Floats, values: Floats) -> Floats:
        new, groups, heads, size = queries.shape
        padding = ((0, 0), (0, max(0, MIN_HEAD - size)))
        positions = np.repeat(np.arange(len(keys) - new, len(keys)), heads)
        mixed = np.empty((groups, new * heads, size), np.float32)
        for g in range(groups):
            key_codes, key_scale = quantise_channels(keys[:, g].astype(np.float64), self._format.input_bits)
            value_codes, value_scale = quantise_channels(values[:, g].astype(np.float64), self._format.input_bits)
            # 1 / sqrt(E) belongs to the head's own size, so it is folded in before any padding.
            flat = queries[:, g].reshape(-1, size).astype(np.float64)
            codes, scales = quantise_queries(flat, key_scale, self._format)
            mask = Mask(keys=len(keys), causal=True)
            jobs = [
                AttentionJob(
                    f"head {g}, queries {start} and on",
                    np.pad(codes[block], padding),
                    scales[block],
                    positions[block],
                    np.pad(key_codes, padding),
                    np.pad(value_codes, padding),
                    mask,
                    self._spans if len(codes[block]) * self._spans <= self._columns else 1,
                )
                for start in range(0, len(codes), self._columns)
                for block in [slice(start, start + self._columns)]
            ]
            outputs = np.concatenate([found.T for found in self._run(jobs)])[:, :size]
            mixed[g] = outputs * (value_scale / 2.0**self._format.output_fraction)
            self.jobs += len(jobs)
        return mixed.reshape(groups, new, heads, size).transpose(1, 0, 2, 3)


def golden_runner(format: AttentionFormat, rows: int) -> JobRunner:
    """Computes jobs with the golden model of an engine with `rows` rows."""

    return lambda jobs: [golden_outputs(format, rows, job) for job in jobs]


def golden_outputs(format: AttentionFormat, rows: int, job: AttentionJob) -> Integers:
    """The outputs [F, P] of a job on an engine with `rows` rows."""
    operands = (job.queries, job.scales, job.positions, job.keys, job.values)
    return attend(format, rows, *operands, job.mask, job.spans).outputs()


def softmax(x: Floats) -> Floats:
    """exp(x) over its sum along the last axis; -inf becomes 0."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return result
