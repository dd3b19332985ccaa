"""BitmodFp16PE: the corners of its formats in an engine of one PE, every bit of every sum."""

import pytest

from einloom.hw.pe.bitmod_fp16 import BitmodFp16PE
from einloom.sim.bench.cases import corner_batches
from tests.hw.array.gemm import check, engine, pe_of

FP16 = {"kind": "bitmod", "activations": "fp16", "group": 32}
ENGINES = {
    "fp4": {**FP16, "lanes": 4, "formats": ["bitmod-fp4"]},
    "integers": {**FP16, "lanes": 2, "formats": ["int8"]},
}


@pytest.mark.parametrize("name", ENGINES)
def test_corners_are_golden(name: str) -> None:
    part, manifest = engine({"rows": 1, "columns": 1, "max_inputs": 512, **ENGINES[name]})
    assert pe_of(part) is BitmodFp16PE
    for _, jobs, _ in corner_batches(manifest):
        check(part, manifest, jobs, 0.0)
