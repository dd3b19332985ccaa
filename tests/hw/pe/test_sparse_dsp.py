"""SparseDspPE: corners of its formats in an engine of one PE, every bit of every sum, and the bounds of its packing."""

from itertools import product
from typing import Any

import pytest

from einloom.generators.registry import pe_spec
from einloom.hw.arith.dsp48e2 import A_BITS, B_BITS, P_BITS
from einloom.hw.pe.pair_packing import PairPacking
from einloom.hw.pe.sparse_dsp import SparseDspPE
from einloom.sim.bench.cases import corner_batches
from einloom.sim.strategies import make_config
from einloom.spec.formats import FORMATS, Format
from tests.hw.array.gemm import check, engine, pe_of

DSP: dict[str, Any] = {"kind": "sparse_dsp", "lanes": 4, "group": 32}
ENGINES = {
    "the last DSP adds up": {**DSP, "formats": ["bitmod-fp4", "int4", "ternary"]},
    "eight largest products": {**DSP, "lanes": 8, "group": 64, "formats": ["int8"]},
    "two chains": {**DSP, "lanes": 16, "group": 128, "formats": ["int8", "bitmod-fp3"]},
    "a field's largest group": {**DSP, "lanes": 16, "group": 128, "formats": ["int6"]},
    "two of four": {**DSP, "lanes": 8, "group": 64, "formats": ["bitmod-fp4-2of4", "int4"]},
    "two of four in two chains": {**DSP, "lanes": 16, "group": 128, "formats": ["int8-2of4"]},
    "one lane": {**DSP, "lanes": 1, "formats": ["bipolar4", "int7"]},
}


@pytest.mark.parametrize("name", ENGINES)
def test_corners_are_golden(name: str) -> None:
    section = {"rows": 1, "columns": 2, **ENGINES[name]}
    part, manifest = engine({**section, "max_inputs": 4 * section["group"], "max_tiles": 2}, beat_bits=256)
    assert pe_of(part) is SparseDspPE
    for _, jobs, _ in corner_batches(manifest):
        check(part, manifest, jobs, 0.0)


ACTIVATIONS = range(-128, 128)


def weights(format: Format) -> list[int]:
    """All values of a format, and any special one that terms can express."""
    specials = [] if format.special_code is None else [format.max_magnitude, -format.max_magnitude]
    return [*format.table, *specials]


@pytest.mark.parametrize("name", FORMATS)
def test_no_field_of_a_dsp_overflows(name: str) -> None:
    """Sums of K products lie between K times the least and K times the largest; those are found among all."""
    packing, values = PairPacking.of((FORMATS[name],)), weights(FORMATS[name])
    operands = [(upper << packing.shift) - lower for upper, lower in product(values, values)]
    assert -(1 << A_BITS - 1) <= min(operands)
    assert max(operands) < 1 << A_BITS - 1
    assert max(map(abs, ACTIVATIONS)) < 1 << B_BITS - 1
    products = [w * a for w, a in product(values, ACTIVATIONS)]
    least, most, held = min(products), max(products), packing.held
    half = 1 << packing.shift - 1
    assert 0 <= half - held * most
    assert half - held * least < 1 << packing.shift
    limit = 1 << P_BITS - 1
    assert -limit <= (held * least << packing.shift)
    assert (held * most + 1 << packing.shift) <= limit
    for count in (1, 3, held):
        bits = packing.lower_bits(count)
        assert -(1 << bits - 1) <= -count * most
        assert -count * least < 1 << bits - 1
        bits = packing.upper_bits(count)
        assert -(1 << bits - 1) <= count * least
        assert count * most < 1 << bits - 1


@pytest.mark.parametrize(
    ("name", "held"), {"int8": 8, "int7": 32, "int6": 128, "bitmod-fp4": 256, "int4": 2048}.items()
)
def test_a_field_holds_so_many_products(name: str, held: int) -> None:
    assert PairPacking.of((FORMATS[name],)).held == held


def test_one_more_than_eight_int8_products_overflow() -> None:
    packing = PairPacking.of((FORMATS["int8"],))
    assert 8 * -128 * -128 == 1 << packing.shift - 1  # the negated sum is the least number of the field
    assert packing.holds(8)
    assert not packing.holds(9)


@pytest.mark.parametrize(
    ("formats", "chains", "accumulates"), [(["bitmod-fp4"], 1, True), (["int7"], 1, False), (["int8"], 2, False)]
)
def test_chains_are_as_long_as_their_fields_hold(formats: list[str], chains: int, accumulates: bool) -> None:
    spec = pe_spec(make_config({"kind": "sparse_dsp", "lanes": 16, "formats": formats}))
    assert (spec.chains, spec.accumulates) == (chains, accumulates)  # type: ignore[attr-defined]
