"""LutFp16PE: the corners of its formats in an engine of one PE, every bit of every sum."""

import pytest

from einloom.hw.pe.lut_fp16 import LutFp16PE
from einloom.sim.bench.cases import corner_batches
from tests.hw.array.gemm import check, engine, pe_of

LUT = {"kind": "lut", "lanes": 4, "group": 32, "activations": "fp16"}
ENGINES = {
    "zero points": {**LUT, "formats": ["int4"]},
    "channel scales": {**LUT, "formats": ["bipolar2"], "group": "channel", "lanes": 2},
    "rounded": {**LUT, "formats": ["bipolar2"], "entries": "int8"},
}


@pytest.mark.parametrize("name", ENGINES)
def test_corners_are_golden(name: str) -> None:
    part, manifest = engine({"rows": 1, "columns": 1, "max_inputs": 512, **ENGINES[name]})
    assert pe_of(part) is LutFp16PE
    for _, jobs, _ in corner_batches(manifest):
        check(part, manifest, jobs, 0.0)
