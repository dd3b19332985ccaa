"""LutPE: the corners of its formats in an engine of one PE, every bit of every sum."""

import pytest

from einloom.hw.pe.lut import LutPE
from einloom.sim.bench.cases import corner_batches
from tests.hw.array.gemm import check, engine, pe_of

LUT = {"kind": "lut", "lanes": 8, "group": 32}
ENGINES = {
    "zero points": {**LUT, "formats": ["int4", "int2"], "table_inputs": 4},
    "ternary": {**LUT, "formats": ["ternary"], "table_inputs": 3, "table": "half"},
    "full": {**LUT, "formats": ["bipolar2"], "table_inputs": 2, "table": "full"},
    "rounded": {**LUT, "formats": ["bipolar2"], "table_inputs": 4, "entries": "int8"},
    "rounded by table": {
        **LUT,
        "formats": ["bipolar4"],
        "table_inputs": 4,
        "entries": "int8",
        "entry_scale": "table",
    },
}


@pytest.mark.parametrize("name", ENGINES)
def test_corners_are_golden(name: str) -> None:
    part, manifest = engine({"rows": 1, "columns": 1, "max_inputs": 512, **ENGINES[name]})
    assert pe_of(part) is LutPE
    for _, jobs, _ in corner_batches(manifest):
        check(part, manifest, jobs, 0.0)
