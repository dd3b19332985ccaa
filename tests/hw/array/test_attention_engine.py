"""AttentionEngine: jobs one after the other on a few PEs, with one span and with two, every bit of every output."""

from functools import cache

import numpy as np
import pytest

from einloom.hw.array.attention_engine import AttentionEngine
from einloom.sim.bench.attention_cases import corner_batches, random_job
from einloom.spec.manifest import AttentionManifest
from tests.hw.around import PAUSES
from tests.hw.array.attention import check, engine

ENGINES = {
    "one span": {"rows": 4, "columns": 2, "input_bits": 8, "max_head": 32, "max_keys": 100},
    "two spans": {"rows": 2, "columns": 4, "spans": 2, "input_bits": 8, "max_head": 33, "max_keys": 100},
    "int16": {"rows": 1, "columns": 1, "input_bits": 16, "max_head": 32, "max_keys": 20, "quotient_bits": 8},
}


@cache
def built(name: str) -> tuple[AttentionEngine, AttentionManifest]:
    return engine(**ENGINES[name])


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("name", ENGINES)
def test_outputs_are_golden(name: str, pause: float) -> None:
    part, manifest = built(name)
    rng = np.random.default_rng(3)
    jobs = [random_job(rng, manifest, f"job {n}", 3 * manifest.rows * manifest.spans) for n in range(4)]
    check(part, manifest, jobs, dict.fromkeys(("job", "keys", "values", "outputs"), pause))


@pytest.mark.parametrize("name", ["one span", "two spans"])
def test_corners_are_golden(name: str) -> None:
    """The short ones: extremes of both signs, and masks that leave a key or none."""
    part, manifest = built(name)
    jobs = [job for _, batch, _ in corner_batches(manifest) for job in batch[:1]][:14]
    check(part, manifest, jobs, {}, limit=60_000)
