"""Causal grouped-query attention of a decoder on integers, as an attention engine computes it.

Letters of shapes: T new tokens, S tokens so far, G key/value heads, R query heads for each of them, D values per head.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from einloom.mapping.attention_operands import AttentionJob, quantize_channels, quantize_queries
from einloom.models.decoder_graph import Scores
from einloom.sim.golden.fusemax import attend
from einloom.spec.attention_format import MIN_HEAD, AttentionFormat
from einloom.spec.errors import InputError

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
JobRunner = Callable[[Sequence[AttentionJob]], list[Integers]]
"""Computes jobs: outputs [F, P] of each, in the format's units."""


class IntegerAttention:
    """Attention on quantized operands, computed by `run` in jobs of up to `columns` queries.

    Blocks of few queries, as in decoding, are split over `spans` columns per query.

    Keys and values have a scale per channel, over all tokens so far; queries have one each
    (mapping/attention_operands.py). All queries of a key/value head, those of its whole group and of all new tokens,
    share its keys. Heads smaller than the engine's smallest are padded with zeros, which changes no score and adds
    outputs that nobody reads.

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

    def __call__(
        self, queries: Floats, keys: Floats, values: Floats, scores: Scores, sink_queries: Floats | None = None
    ) -> Floats:
        if sink_queries is not None:
            raise InputError("the attention engine alone has no queries of their own for sinks: use a core")
        new, groups, heads, size = queries.shape
        padding = ((0, 0), (0, max(0, MIN_HEAD - size)))
        positions = np.repeat(np.arange(len(keys) - new, len(keys)), heads)
        mixed = np.empty((groups, new * heads, size), np.float32)
        for g in range(groups):
            key_codes, key_scale = quantize_channels(keys[:, g].astype(np.float64), self._format.input_bits)
            value_codes, value_scale = quantize_channels(values[:, g].astype(np.float64), self._format.input_bits)
            # The factor of scores belongs to the head's own size, so it is folded in before any padding.
            flat = queries[:, g].reshape(-1, size).astype(np.float64)
            codes, scales = quantize_queries(flat, key_scale, self._format, scores.scale)
            mask = scores.mask(len(keys))
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
