"""IntMacPE: the corners of its formats in an engine of one PE, every bit of every sum."""

import pytest

from einloom.hw.pe.int_mac import IntMacPE
from einloom.sim.bench.cases import corner_batches
from tests.hw.array.gemm import check, engine, pe_of

ENGINES = {
    "one lane": {"kind": "int_mac", "lanes": 1},
    "eight lanes": {"kind": "int_mac", "lanes": 8},
}


@pytest.mark.parametrize("name", ENGINES)
def test_corners_are_golden(name: str) -> None:
    part, manifest = engine({"rows": 1, "columns": 1, "max_inputs": 512, **ENGINES[name]})
    assert pe_of(part) is IntMacPE
    for _, jobs, _ in corner_batches(manifest):
        check(part, manifest, jobs, 0.0)
