"""Test cases for attention engines: the corners, and random ones from a seed."""

from collections.abc import Iterator

import numpy as np

from einloom.attention import MIN_HEAD, Mask
from einloom.manifest import AttentionManifest
from mapping.attention import QUERY_LIMIT, AttentionJob
from sim.bench.attention import AttentionStalls

STALLED = (0, 40, 128, 240)


def random_mask(rng: np.random.Generator, keys: int) -> Mask:
    """None, causal, a window with sinks, and a window that looks ahead."""
    kind = rng.integers(4)
    window, sinks = int(rng.integers(1, keys + 2)), int(rng.integers(0, keys // 2 + 2))
    if kind < 2:
        return Mask(keys, causal=bool(kind))
    return Mask(keys, causal=kind == 2, window=window, sinks=int(rng.choice([0, sinks])))


def random_job(
    rng: np.random.Generator, manifest: AttentionManifest, name: str, max_keys: int, *, mask: Mask | None = None
) -> AttentionJob:
    """Any shape, and scores of any spread: from all equal to beyond saturation."""
    heads = rng.integers(MIN_HEAD, manifest.max_head + 1, 2)
    keys = mask.keys if mask else int(rng.integers(1, min(max_keys, manifest.max_keys) + 1))
    queries = int(rng.integers(1, manifest.columns + 1))
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
    )


def random_batch(
    rng: np.random.Generator, manifest: AttentionManifest, max_keys: int
) -> tuple[list[AttentionJob], AttentionStalls]:
    """One to four random jobs and random stalls."""
    jobs = [random_job(rng, manifest, f"random-{n}", max_keys) for n in range(int(rng.integers(1, 5)))]
    stalls = [int(v) for v in rng.choice(STALLED, 4)]
    return jobs, AttentionStalls(*stalls, seed=int(rng.integers(1, 1 << 31)))


def corner_batches(manifest: AttentionManifest) -> Iterator[tuple[str, list[AttentionJob], AttentionStalls]]:
    """Extremes of both signs, equal scores, one key, one query, masks that hide everything, and full back-pressure."""
    rng = np.random.default_rng(0)
    rows, columns, top = manifest.rows, manifest.columns, (1 << (manifest.input_bits - 1)) - 1
    count = min(3 * rows + 1, manifest.max_keys)
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
                )
            ],
            AttentionStalls(),
        )
    for what, mask in (
        ("one key", Mask(1)),
        ("one causal key", Mask(1, causal=True)),
        ("window of one", Mask(count, causal=True, window=1)),
        ("window of one with a sink", Mask(count, causal=True, window=1, sinks=1)),
        ("window behind all keys", Mask(1, window=1)),
        ("more sinks than keys", Mask(count, causal=True, window=1, sinks=count)),
    ):
        yield what, [random_job(rng, manifest, what, count, mask=mask) for _ in range(2)], AttentionStalls()
    yield (
        "back-pressure on every stream",
        [random_job(rng, manifest, f"stalled-{n}", 2 * rows) for n in range(3)],
        AttentionStalls(200, 200, 200, 250, seed=7),
    )
