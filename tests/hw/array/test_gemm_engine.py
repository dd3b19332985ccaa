"""GemmEngine: jobs one after the other, with every PE in a small array, every bit of every sum."""

from functools import cache

import pytest

from einloom.hw.array.engine import GemmEngine
from einloom.spec.manifest import GemmManifest
from tests.hw.around import PAUSES
from tests.hw.array.gemm import check, engine, jobs_for

ENGINES = {
    "int_mac": {"kind": "int_mac", "rows": 2, "columns": 4, "lanes": 4},
    "bitmod": {"kind": "bitmod", "rows": 2, "columns": 2, "lanes": 4, "formats": ["bitmod-fp3", "int6"], "group": 32},
    "bitmod-fp16": {
        "kind": "bitmod",
        "rows": 1,
        "columns": 2,
        "lanes": 4,
        "formats": ["bitmod-fp4", "int5"],
        "group": 32,
        "activations": "fp16",
    },
    "lut": {"kind": "lut", "rows": 2, "columns": 2, "lanes": 8, "formats": ["int4", "int2"], "group": 32},
    "lut-int8": {
        "kind": "lut",
        "rows": 1,
        "columns": 2,
        "lanes": 8,
        "formats": ["bipolar2"],
        "group": 32,
        "entries": "int8",
    },
    "lut-fp16": {
        "kind": "lut",
        "rows": 1,
        "columns": 2,
        "lanes": 4,
        "formats": ["int4"],
        "group": 32,
        "activations": "fp16",
    },
}
SHAPES = [(1, 2, 2), (2, 1, 1), (1, 1, 3), (2, 3, 1)]
"""(tokens, tiles, blocks)"""


@cache
def built(name: str) -> tuple[GemmEngine, GemmManifest]:
    return engine(ENGINES[name], channels=2 if name == "bitmod" else 1)


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("name", ENGINES)
def test_sums_are_golden(name: str, pause: float) -> None:
    part, manifest = built(name)
    shapes = [(min(tokens, manifest.rows), tiles, blocks) for tokens, tiles, blocks in SHAPES]
    check(part, manifest, jobs_for(manifest, seed=3, shapes=shapes), pause)


def test_a_step_takes_as_many_cycles_as_its_format_has_terms() -> None:
    """One token of many tiles: results come at the distance of a tile's terms."""
    part, manifest = built("bitmod")
    (job,) = jobs_for(manifest, seed=4, shapes=[(1, 6, 2)])
    cycles = check(part, manifest, [job], 0.0)["sums"]
    steps = job.tensor.shape[1] // manifest.weights.lanes
    assert [b - a for a, b in zip(cycles, cycles[1:], strict=False)] == [steps * len(job.tensor.format.bsig)] * 5
