"""SparseDspPE: corners of its formats in an engine of one PE, every bit of every sum, and the bounds of its packing."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from einloom.generators.registry import pe_spec
from einloom.hw.arith.dsp48e2 import A_BITS, B_BITS, P_BITS
from einloom.hw.pe.field_packing import FieldPacking
from einloom.hw.pe.sparse_dsp import SparseDspPE
from einloom.sim.bench.cases import corner_batches
from einloom.sim.strategies import make_config
from einloom.spec.errors import ConfigError
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
    "three weights": {**DSP, "lanes": 8, "group": 64, "formats": ["int2", "ternary"], "packing": "three_weights"},
    "three weights in two chains, scales in DSPs": {
        **DSP,
        "lanes": 8,
        "formats": ["bipolar2"],
        "packing": "three_weights",
        "scaling": "dsp",
    },
    "three weights without a chain": {**DSP, "lanes": 4, "formats": ["int4"], "packing": "three_weights"},
    "one lane": {**DSP, "lanes": 1, "formats": ["bipolar4", "int7"]},
}


@pytest.mark.parametrize("name", ENGINES)
def test_corners_are_golden(name: str) -> None:
    packing = ENGINES[name].get("packing", "weights")
    size = {"rows": 2 if packing == "tokens" else 1, "columns": 3 if packing == "three_weights" else 2}
    section = {**size, **ENGINES[name]}
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


WAYS = {"two-weights": 2, "three-weights": 3, "two-tokens": 0}
"""Ways to pack: weights of a DSP, 0 for tokens."""


def packing_of(name: str, weights: int) -> FieldPacking:
    """The packing of a format, which may hold no product."""
    formats = (FORMATS[name],)
    return FieldPacking.of_weights(formats, weights) if weights else FieldPacking.of_tokens(formats)


CASES = [(name, way) for name in DENSE for way, count in WAYS.items() if packing_of(name, count).held]
"""All formats in all packings that hold a product."""


@pytest.mark.parametrize(("name", "way"), CASES)
def test_no_field_of_a_dsp_overflows(name: str, way: str) -> None:
    """Sums of K products lie between K times the least and K times the largest; those are found among all."""
    values = weights(FORMATS[name])
    packed, shared = (values, ACTIVATIONS) if WAYS[way] else (ACTIVATIONS, values)
    packing = packing_of(name, WAYS[way])
    operands = np.array(packed, np.int64) << packing.top
    for first in range(0, packing.top, packing.shift):  # of all pairs, or threes
        operands = np.unique(np.subtract.outer(operands, np.array(packed) << first))
    assert -(1 << A_BITS - 1) <= operands.min()
    assert operands.max() < 1 << A_BITS - 1
    assert max(map(abs, shared)) < 1 << B_BITS - 1
    products = [w * a for w, a in product(values, ACTIVATIONS)]
    least, most, held = min(products), max(products), packing.held
    half = 1 << packing.shift - 1
    assert 0 <= half - held * most
    assert half - held * least < 1 << packing.shift
    limit = 1 << P_BITS - 1
    assert -limit <= (held * least << packing.top)
    assert (held * most + 1 << packing.top) <= limit
    for count in {1, min(3, held), held}:
        bits = packing.lower_bits(count)
        assert -(1 << bits - 1) <= -count * most
        assert -count * least < 1 << bits - 1
        bits = packing.upper_bits(count)
        assert -(1 << bits - 1) <= count * least
        assert count * most < 1 << bits - 1


@pytest.mark.parametrize(
    ("name", "way"), [c for c in CASES if c[0] in ("int8", "int4", "bitmod-fp4", "ternary", "int2")]
)
def test_all_sums_come_back_from_a_dsps_result(name: str, way: str) -> None:
    """The corners of all pairs or threes of sums, eight times -128 * -128 among them."""
    packing = packing_of(name, WAYS[way])
    count, shift = packing.held, packing.shift
    products = [w * a for w, a in product(weights(FORMATS[name]), ACTIVATIONS)]
    sums = sorted({n * p for n in (1, count - 1, count) for p in (min(products), max(products))} | {-1, 0, 1})
    bits, upper_bits = packing.lower_bits(count), packing.upper_bits(count)
    for *lower, upper in product(sums, repeat=packing.fields):
        result = (upper << packing.top) - sum(s << n * shift for n, s in enumerate(lower)) + packing.bias(count)
        for n, expected in enumerate(lower):
            assert (1 << bits - 1) - (result >> n * shift & (1 << bits) - 1) == expected
        high = result >> packing.top & (1 << upper_bits) - 1
        assert high - (high >> upper_bits - 1 << upper_bits) == upper


@pytest.mark.parametrize(("name", "held"), {"int2": 8, "ternary": 8, "bipolar2": 4, "int3": 2, "int4": 1}.items())
def test_a_field_of_three_holds_so_many_products(name: str, held: int) -> None:
    assert packing_of(name, 3).held == held


@pytest.mark.parametrize("name", DENSE)
def test_a_config_takes_three_weights_where_the_fields_hold_a_product(name: str) -> None:
    section = {"kind": "sparse_dsp", "columns": 6, "lanes": 4, "formats": [name], "packing": "three_weights"}
    if packing_of(name, 3).held:
        make_config(section)
        return
    with pytest.raises(ConfigError, match="set packing to weights"):
        make_config(section)


@pytest.mark.parametrize(
    ("name", "held"), {"int8": 8, "int7": 32, "int6": 128, "bitmod-fp4": 256, "int4": 2048}.items()
)
def test_a_field_holds_so_many_products(name: str, held: int) -> None:
    assert packing_of(name, 2).held == held


def test_one_more_than_eight_int8_products_overflow() -> None:
    packing = packing_of("int8", 2)
    assert 8 * -128 * -128 == 1 << packing.shift - 1  # the negated sum is the least number of the field
    assert packing.holds(8)
    assert not packing.holds(9)


@pytest.mark.parametrize(
    ("name", "held"), {"int8": 8, "int7": 16, "int6": 32, "bitmod-fp4": 32, "int4": 128, "int2": 512}.items()
)
def test_a_field_holds_so_many_products_of_tokens(name: str, held: int) -> None:
    assert packing_of(name, 0).held == held


@pytest.mark.parametrize(
    ("formats", "chains", "accumulates"), [(["bitmod-fp4"], 1, True), (["int7"], 1, False), (["int8"], 2, False)]
)
def test_chains_are_as_long_as_their_fields_hold(formats: list[str], chains: int, accumulates: bool) -> None:
    spec = pe_spec(make_config({"kind": "sparse_dsp", "lanes": 16, "formats": formats}))
    assert (spec.chains, spec.accumulates) == (chains, accumulates)  # type: ignore[attr-defined]
