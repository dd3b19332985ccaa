"""Test cases for attention engines: the corners, and random ones from a seed."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from einloom.mapping.attention_operands import QUERY_LIMIT, AttentionJob, attention_format
from einloom.sim.bench.attention import AttentionStalls
from einloom.spec.attention_format import MIN_HEAD, QUERY_BITS, SCALE_SHIFT, SCORE_FRACTION, Mask
from einloom.spec.manifest import AttentionManifest

MANY = 1 << 14
"""Keys of a long sequence, of which few are visible."""
STALLED = (0, 40, 128, 240)


def random_mask(rng: np.random.Generator, keys: int) -> Mask:
    """A random mask: none, causal, a window with sinks, or a window that looks ahead."""
    kind = rng.integers(4)
    window, sinks = int(rng.integers(1, keys + 2)), int(rng.integers(0, keys // 2 + 2))
    if kind < 2:
        return Mask(keys, causal=bool(kind))
    return Mask(keys, causal=kind == 2, window=window, sinks=int(rng.choice([0, sinks])))


def random_job(
    rng: np.random.Generator, manifest: AttentionManifest, name: str, max_keys: int, *, mask: Mask | None = None
) -> AttentionJob:
    """A job of any shape, split over the spans or not, with scores of any spread: all equal to beyond saturation."""
    heads = rng.integers(MIN_HEAD, manifest.max_head + 1, 2)
    keys = mask.keys if mask else int(rng.integers(1, min(max_keys, manifest.max_keys) + 1))
    spans = int(rng.choice([1, manifest.spans]))
    queries = int(rng.integers(1, manifest.columns // spans + 1))
    limit = 1 << (manifest.input_bits - 1)
    base = int(rng.integers(0, max(keys - queries, 0) + 1))
    positions = np.minimum(base + np.arange(queries) // int(rng.choice([1, 1, 2, queries])), manifest.max_keys - 1)
    spread = 2.0 ** rng.uniform(-8, 0)
    elements = np.clip(np.rint(rng.normal(0, spread * QUERY_LIMIT / 3, (queries, heads[0]))), -32768, 32767)
    return AttentionJob(
        name,
        queries=elements.astype(np.int64),
        scales=rng.integers(1, 2 + int(rng.choice([2, 40, 3000, 32000])), queries),
        positions=positions,
        keys=rng.integers(-limit, limit, (keys, heads[0])),
        values=rng.integers(-limit, limit, (keys, heads[1])),
        mask=mask or random_mask(rng, keys),
        spans=spans,
    )


def random_batch(
    rng: np.random.Generator, manifest: AttentionManifest, max_keys: int
) -> tuple[list[AttentionJob], AttentionStalls]:
    """One to four random jobs and random stalls."""
    jobs = [random_job(rng, manifest, f"random-{n}", max_keys) for n in range(int(rng.integers(1, 5)))]
    stalls = [int(v) for v in rng.choice(STALLED, 4)]
    return jobs, AttentionStalls(*stalls, seed=int(rng.integers(1, 1 << 31)))


def random_batches(
    manifest: AttentionManifest, seed: int, cases: int, max_keys: int
) -> Iterator[tuple[str, list[AttentionJob], AttentionStalls]]:
    """Batches of at least `cases` random jobs, of up to `max_keys` keys."""
    rng, drawn, number = np.random.default_rng(seed), 0, 0
    while drawn < cases:
        jobs, stalls = random_batch(rng, manifest, max_keys)
        yield f"batch {number} of seed {seed}", jobs, stalls
        drawn, number = drawn + len(jobs), number + 1


def corner_batches(manifest: AttentionManifest) -> Iterator[tuple[str, list[AttentionJob], AttentionStalls]]:
    """Extremes of both signs, equal scores, one key, one query, masks that hide everything, the corners of spans, and
    full back-pressure."""
    rng = np.random.default_rng(0)
    for spans in sorted({1, manifest.spans}):
        yield from _extremes(manifest, spans)
    yield from _masks(rng, manifest)
    yield "windows that begin anywhere", list(_window_starts(rng, manifest)), AttentionStalls()
    if manifest.spans > 1:
        yield from span_batches(rng, manifest)
    yield (
        "back-pressure on every stream",
        [random_job(rng, manifest, f"stalled-{n}", 2 * manifest.rows) for n in range(3)],
        AttentionStalls(200, 200, 200, 250, seed=7),
    )


def _extremes(manifest: AttentionManifest, spans: int) -> Iterator[tuple[str, list[AttentionJob], AttentionStalls]]:
    """Jobs whose numbers are all as large or as small as they can be."""
    rows, columns, top = manifest.rows, manifest.columns // spans, (1 << (manifest.input_bits - 1)) - 1
    count = min(3 * rows * spans + 1, manifest.max_keys)
    for what, query, key, value, scale in (
        ("largest scores", 32767, top, top, 32767),
        ("lowest scores", -32768, top, -top - 1, 32767),
        ("lowest times lowest", -32768, -top - 1, -top - 1, 32767),
        ("equal scores", 0, top, top, 1),
        ("negative scale", 32767, top, top, -32768),
        ("zero scale", 32767, top, -top, 0),
    ):
        shape = (columns, MIN_HEAD)
        yield (
            what,
            [
                AttentionJob(
                    what,
                    np.full(shape, query, np.int64),
                    np.full(columns, scale, np.int64),
                    np.arange(columns) % manifest.max_keys,
                    np.full((count, MIN_HEAD), key, np.int64),
                    np.full((count, manifest.max_head), value, np.int64),
                    Mask(count),
                    spans,
                )
            ],
            AttentionStalls(),
        )


def _masks(
    rng: np.random.Generator, manifest: AttentionManifest
) -> Iterator[tuple[str, list[AttentionJob], AttentionStalls]]:
    """Masks that leave a key, or none, and one that leaves few of many."""
    count, many = min(3 * manifest.rows + 1, manifest.max_keys), min(MANY, manifest.max_keys)
    for what, mask in (
        ("no key", Mask(0)),
        ("no causal key", Mask(0, causal=True)),
        ("one key", Mask(1)),
        ("one causal key", Mask(1, causal=True)),
        ("window of one", Mask(count, causal=True, window=1)),
        ("window of one with a sink", Mask(count, causal=True, window=1, sinks=1)),
        ("window behind all keys", Mask(1, window=1)),
        ("more sinks than keys", Mask(count, causal=True, window=1, sinks=count)),
        ("a window far behind a sink", Mask(many, causal=True, window=2, sinks=1)),
    ):
        yield what, [random_job(rng, manifest, what, count, mask=mask) for _ in range(2)], AttentionStalls()


def _window_starts(rng: np.random.Generator, manifest: AttentionManifest) -> Iterator[AttentionJob]:
    """Queries around the first position at which a window leaves a key out; it looks ahead, so more tiles follow."""
    count = min(3 * manifest.rows + 1, manifest.max_keys)
    for window in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17):
        for first in range(max(window - 3, 0), min(window + 3, manifest.max_keys)):
            job = random_job(rng, manifest, f"window of {window} at {first}", count, mask=Mask(count, window=window))
            elements = slice(MIN_HEAD)
            yield replace(
                job,
                queries=job.queries[:1, elements],
                scales=job.scales[:1],
                positions=np.array([first]),
                keys=job.keys[:, elements],
                values=job.values[:, elements],
                spans=1,
            )


def span_batches(
    rng: np.random.Generator, manifest: AttentionManifest
) -> Iterator[tuple[str, list[AttentionJob], AttentionStalls]]:
    """Split jobs, in a batch each: keys that end in every place of the spans' tiles, spans that see nothing, the
    largest score in every span, and split and other jobs back to back."""
    rows, spans, most = manifest.rows, manifest.spans, manifest.max_keys
    wide = rows * spans
    ends = sorted({min(most, n) for n in (1, rows, rows + 1, wide - 1, wide, wide + 1, 2 * wide - rows, 3 * wide)})
    yield "keys that end anywhere", [split_job(rng, manifest, Mask(n)) for n in ends], AttentionStalls()
    count = min(4 * wide, most)
    hidden = [
        Mask(count, causal=True),
        Mask(count, causal=True, window=1),
        Mask(count, causal=True, window=1, sinks=1),
        Mask(count, causal=True, window=rows, sinks=min(rows + 1, count)),
        Mask(1, window=1),
    ]
    yield "spans that see nothing", [split_job(rng, manifest, mask) for mask in hidden], AttentionStalls()
    peaks = range(0, wide, rows)
    lengths = (min(n * wide, most) for n in (1, 2))
    jobs = [with_peak(split_job(rng, manifest, Mask(n)), manifest, p) for n in lengths for p in peaks if p < n]
    yield "the largest score in every span", jobs, AttentionStalls()
    jobs = [split_job(rng, manifest, Mask(min(wide + 1, most)), spans=n) for n in (spans, 1, spans, spans, 1)]
    yield "split and whole jobs", jobs, AttentionStalls()
    yield "split and whole jobs, stalled", jobs, AttentionStalls(100, 100, 100, 200, seed=9)


def split_job(
    rng: np.random.Generator, manifest: AttentionManifest, mask: Mask, *, spans: int | None = None
) -> AttentionJob:
    """A random job with `spans` columns per query, all spans of the design unless told; the queries at its end."""
    spans = manifest.spans if spans is None else spans
    job = random_job(rng, manifest, f"{mask} over {spans}", mask.keys, mask=mask)
    kept = slice(max(1, min(len(job.queries), manifest.columns // spans)))
    position = np.full(len(job.positions[kept]), mask.keys - 1 if mask.causal else manifest.max_keys - 1)
    return replace(job, queries=job.queries[kept], scales=job.scales[kept], positions=position, spans=spans)


def with_peak(job: AttentionJob, manifest: AttentionManifest, key: int) -> AttentionJob:
    """The job with a score of 3 in log2 for `key`, and of 0 for all others: every key counts, most by a correction."""
    keys, queries = np.zeros_like(job.keys), np.zeros_like(job.queries)
    query_power, key_power = QUERY_BITS - 2, manifest.input_bits - 2
    keys[key, 0], queries[:, 0] = 1 << key_power, 1 << query_power
    dropped = attention_format(manifest).qk_drop - query_power - key_power
    scales = np.full_like(job.scales, 3 << (SCORE_FRACTION + SCALE_SHIFT + dropped))
    return replace(job, queries=queries, scales=scales, keys=keys)
