"""Attention as an engine takes it: quantized operands, and how they are packed into words and beats."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.spec.attention_format import POSITION_WORDS, QUERY_BITS, SCALE_SHIFT, SCORE_FRACTION, AttentionFormat, Mask
from einloom.spec.errors import InputError
from einloom.spec.manifest import AttentionManifest

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
QUERY_LIMIT = (1 << (QUERY_BITS - 1)) - 1


@dataclass(frozen=True)
class AttentionJob:
    """A block of queries against the keys of one head: queries of all heads of a group, or of successive positions, or
    both.

    Attributes
    ----------
    queries, scales, positions : integers [P, E], [P] and [P]
    keys, values : integers [M, E] and [M, F]
    spans : columns per query, 1 or as many as the design has
    """

    name: str
    queries: Integers
    scales: Integers
    positions: Integers
    keys: Integers
    values: Integers
    mask: Mask
    spans: int = 1

    @property
    def query_head(self) -> int:
        return int(self.keys.shape[1])

    @property
    def value_head(self) -> int:
        return int(self.values.shape[1])

    @property
    def query_words(self) -> int:
        """Words of the query buffer."""
        return self.query_head + 1 + POSITION_WORDS

    def tiles(self, rows: int) -> list[int]:
        """The visited tiles of `rows` keys, or of that for each span."""
        return self.mask.tiles(self.positions, rows * self.spans)


def attention_format(manifest: AttentionManifest) -> AttentionFormat:
    """The number format of a design."""
    return AttentionFormat(manifest.input_bits, manifest.max_head, manifest.max_keys)


def quantize_channels(tensor: Floats, bits: int) -> tuple[Integers, Floats]:
    """Keys or values [M, channels] as symmetric integers with one scale per channel: the nearest code.

    Scales of the keys' channels go into the queries, and those of the values' channels to the outputs, so neither
    costs the engine anything.
    """
    limit = (1 << (bits - 1)) - 1
    scale = np.maximum(np.abs(tensor).max(axis=0), np.finfo(np.float32).tiny) / limit
    return np.rint(tensor / scale).astype(np.int64), scale


def quantize_queries(
    queries: Floats, key_scale: Floats, format: AttentionFormat, score_scale: float | None = None
) -> tuple[Integers, Integers]:
    """Queries [P, E] as int16 with an integer scale each, for keys of `key_scale` [E].

    log2(e), the factor of scores (1 / sqrt(E) if None) and the scales of the keys are part of what is quantized. The
    engine's score is sum(code * key) * scale / 2^(qk_drop + SCALE_SHIFT), in units of 2^-SCORE_FRACTION; so the scale
    is the smallest integer for which all codes fit, and the codes take up the rest exactly.
    """
    unit = 2.0 ** (SCORE_FRACTION + SCALE_SHIFT + format.qk_drop)
    score_scale = 1 / math.sqrt(queries.shape[1]) if score_scale is None else score_scale
    wanted = queries * key_scale * (math.log2(math.e) * score_scale) * unit
    scales = np.clip(np.ceil(np.abs(wanted).max(axis=1) / QUERY_LIMIT), 1, QUERY_LIMIT)
    codes = np.clip(np.rint(wanted / scales[:, None]), -QUERY_LIMIT, QUERY_LIMIT)
    return codes.astype(np.int64), scales.astype(np.int64)


def pack_attention_job(job: AttentionJob, manifest: AttentionManifest, *, queries: int) -> int:
    """The word of `job` whose query words start at address `queries`; InputError when it doesn't fit the design."""
    if job.spans not in (1, manifest.spans):
        takes = f"1 or {manifest.spans} spans" if manifest.spans > 1 else "1 span"
        raise InputError(f"{job.name}: this design takes {takes}, not {job.spans}")
    block = "queries in a split job" if job.spans > 1 else "queries"
    for what, size, most in (
        (block, len(job.queries), manifest.columns // job.spans),
        ("elements of a query", job.query_head, manifest.max_head),
        ("elements of a value", job.value_head, manifest.max_head),
        ("keys", max(job.mask.keys, int(job.positions.max()) + 1), manifest.max_keys),
    ):
        if size < 1:
            raise InputError(f"{job.name}: {size} {what}: there is nothing to compute")
        if size > most:
            raise InputError(f"{job.name}: this design takes up to {most} {what}, not {size}")
    fields = {
        "queries": queries,
        "query_head": job.query_head,
        "value_head": job.value_head,
        "keys": job.mask.keys,
        "first_position": int(job.positions.min()),
        "last_position": int(job.positions.max()),
        "causal": int(job.mask.causal),
        "window": min(job.mask.window, manifest.max_keys),
        "sinks": min(job.mask.sinks, manifest.max_keys),
        "split": int(job.spans > 1),
    }
    word, start = 0, 0
    for name, width in manifest.job.model_dump().items():
        if fields[name] >> width:
            raise InputError(f"{job.name}: {name} = {fields[name]} doesn't fit the design's {width} bits")
        word |= fields[name] << start
        start += width
    return word


def pack_queries(job: AttentionJob, manifest: AttentionManifest) -> bytes:
    """The job's words of the query buffer, column 0 lowest, absent columns 0; every column of a query has all of it."""
    words = np.zeros((job.query_words, manifest.columns), "<u2")
    used = slice(len(job.queries) * job.spans)
    words[: job.query_head, used] = np.repeat(job.queries.T.astype(np.int16).view(np.uint16), job.spans, axis=1)
    words[job.query_head, used] = np.repeat(job.scales.astype(np.int16).view(np.uint16), job.spans)
    words[job.query_head + 1, used] = np.repeat(job.positions & 0xFFFF, job.spans)
    words[job.query_head + 2, used] = np.repeat(job.positions >> QUERY_BITS, job.spans)
    return words.tobytes()


def pack_beats(tensor: Integers, tiles: list[int], manifest: AttentionManifest, spans: int = 1) -> bytes:
    """Keys or values [M, channels] of a job with `spans` columns per query as the beats of the visited tiles.

    Rows behind the last key are 0, as are the slices that a job that is not split leaves.
    """
    keys, channels = manifest.rows * spans, tensor.shape[1]
    padded = np.zeros(((max(tiles) + 1) * keys, channels), f"<i{manifest.input_bits // 8}")
    count = min(len(tensor), len(padded))
    padded[:count] = tensor[:count]
    beats = np.zeros((len(tiles), channels, manifest.rows * manifest.spans), padded.dtype)
    beats[:, :, :keys] = padded.reshape(-1, keys, channels)[tiles].transpose(0, 2, 1)
    return beats.tobytes()
