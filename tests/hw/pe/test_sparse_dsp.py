"""SparseDspPE: corners of its formats in an engine of one PE, every bit of every sum, and the bounds of its packing."""

from itertools import product
from typing import Any

import numpy as np
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
    "two tokens": {**DSP, "lanes": 8, "group": 64, "formats": ["int8", "bitmod-fp4"], "packing": "tokens"},
    "two tokens in two chains": {**DSP, "lanes": 16, "group": 32, "formats": ["int8"], "packing": "tokens"},
    "scales in DSPs": {**DSP, "lanes": 16, "group": 32, "formats": ["int8"]},
    "N of eight": {**DSP, "lanes": 8, "group": 64, "formats": ["int8-nof8"], "packing": "tokens"},
    "one lane": {**DSP, "lanes": 1, "formats": ["bipolar4", "int7"]},
}


@pytest.mark.parametrize("name", ENGINES)
def test_corners_are_golden(name: str) -> None:
    section = {"rows": 2 if "packing" in ENGINES[name] else 1, "columns": 2, **ENGINES[name]}
    part, manifest = engine({**section, "max_inputs": 4 * section["group"], "max_tiles": 2}, beat_bits=256)
    assert pe_of(part) is SparseDspPE
    for _, jobs, _ in corner_batches(manifest):
        check(part, manifest, jobs, 0.0)


ACTIVATIONS = range(-128, 128)


def weights(format: Format) -> list[int]:
    """All values of a format, and any special one that terms can express."""
    specials = [] if format.special_code is None else [format.max_magnitude, -format.max_magnitude]
    return [*format.table, *specials]


DENSE = [name for name, format in FORMATS.items() if format.neighbours == 1]


@pytest.mark.parametrize("tokens", [False, True], ids=["two-weights", "two-tokens"])
@pytest.mark.parametrize("name", DENSE)
def test_no_field_of_a_dsp_overflows(name: str, tokens: bool) -> None:
    """Sums of K products lie between K times the least and K times the largest; those are found among all."""
    values = weights(FORMATS[name])
    packed, shared = (ACTIVATIONS, values) if tokens else (values, ACTIVATIONS)
    packing = PairPacking.of_tokens((FORMATS[name],)) if tokens else PairPacking.of((FORMATS[name],))
    operands = np.subtract.outer(np.array(packed) << packing.shift, packed)  # of all pairs
    assert -(1 << A_BITS - 1) <= operands.min()
    assert operands.max() < 1 << A_BITS - 1
    assert max(map(abs, shared)) < 1 << B_BITS - 1
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


@pytest.mark.parametrize("tokens", [False, True], ids=["two-weights", "two-tokens"])
@pytest.mark.parametrize("name", ["int8", "int4", "bitmod-fp4", "ternary"])
def test_both_sums_come_back_from_a_dsps_result(name: str, tokens: bool) -> None:
    """The corners of all pairs of sums, eight times -128 * -128 among them."""
    packing = PairPacking.of_tokens((FORMATS[name],)) if tokens else PairPacking.of((FORMATS[name],))
    count = packing.held
    products = [w * a for w, a in product(weights(FORMATS[name]), ACTIVATIONS)]
    sums = sorted({n * p for n in (1, count - 1, count) for p in (min(products), max(products))} | {-1, 0, 1})
    for lower, upper in product(sums, sums):
        bits, upper_bits = packing.lower_bits(count), packing.upper_bits(count)
        result = (upper << packing.shift) - lower + (1 << bits - 1)
        assert (1 << bits - 1) - (result & (1 << bits) - 1) == lower
        high = result >> packing.shift & (1 << upper_bits) - 1
        assert high - (high >> upper_bits - 1 << upper_bits) == upper


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
    ("name", "held"), {"int8": 8, "int7": 16, "int6": 32, "bitmod-fp4": 32, "int4": 128, "int2": 512}.items()
)
def test_a_field_holds_so_many_products_of_tokens(name: str, held: int) -> None:
    assert PairPacking.of_tokens((FORMATS[name],)).held == held


@pytest.mark.parametrize(
    ("formats", "chains", "accumulates"), [(["bitmod-fp4"], 1, True), (["int7"], 1, False), (["int8"], 2, False)]
)
def test_chains_are_as_long_as_their_fields_hold(formats: list[str], chains: int, accumulates: bool) -> None:
    spec = pe_spec(make_config({"kind": "sparse_dsp", "lanes": 16, "formats": formats}))
    assert (spec.chains, spec.accumulates) == (chains, accumulates)  # type: ignore[attr-defined]
