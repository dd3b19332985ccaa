"""BitmodPE: the corners of its formats in an engine of one PE, every bit of every sum."""

import pytest

from einloom.hw.pe.bitmod import BitmodPE
from einloom.sim.bench.cases import corner_batches
from tests.hw.array.gemm import check, engine, pe_of

ENGINES = {
    "fp3": {"kind": "bitmod", "lanes": 4, "formats": ["bitmod-fp3"], "group": 32},
    "integers": {"kind": "bitmod", "lanes": 8, "formats": ["int8", "int3"], "group": 32},
}


@pytest.mark.parametrize("name", ENGINES)
def test_corners_are_golden(name: str) -> None:
    part, manifest = engine({"rows": 1, "columns": 1, "max_inputs": 512, **ENGINES[name]})
    assert pe_of(part) is BitmodPE
    for _, jobs, _ in corner_batches(manifest):
        check(part, manifest, jobs, 0.0)
