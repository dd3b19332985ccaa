"""Constants that RTL, golden and quantizer share, against what others published: a wrong one would be wrong everywhere.

BitMoD: "Bit-serial Mixture-of-Datatype LLM Acceleration", HPCA 2025. LUT Tensor Core: ISCA 2025. BitNet b1.58: 2024.
"""

from fractions import Fraction

import numpy as np
import pytest

from einloom.generators.gemm import gemm_spec
from einloom.generators.registry import pe_spec
from einloom.sim.bench.cases import random_tensor
from einloom.sim.golden.engines import golden_sums
from einloom.sim.strategies import make_config
from einloom.spec.formats import FORMATS
from einloom.spec.manifest import GemmManifest

BITMOD = {
    # BitMoD, section III-B: base values, and the special ones of extra resolution (ER) and extra asymmetry (EA).
    "bitmod-fp3": ({0, 1, 2, 4, -1, -2, -4}, (3, -3, 6, -6)),
    "bitmod-fp4": ({0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -1, -1.5, -2, -3, -4, -6}, (5, -5, 8, -8)),
}
TERMS = {"int8": 4, "int6": 3, "int5": 3, "bitmod-fp4": 2, "bitmod-fp3": 2}
"""Cycles of four MACs in a PE: BitMoD, section IV-B."""
TABLES = {
    "int2": (0, 1, -2, -1),
    "int4": (0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1),
    # LUT Tensor Core, section III-B: bits stand for -1 and +1, so that b bits are the odd numbers up to 2^b - 1.
    "bipolar1": (-1, 1),
    "bipolar2": (-3, -1, 1, 3),
    "bipolar3": (-7, -5, -3, -1, 1, 3, 5, 7),
    "bipolar4": (-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15),
    # BitNet b1.58.
    "ternary": (0, 1, -1),
}
"""Values of the codes 0, 1, 2 and on, in steps."""


@pytest.mark.parametrize("name", BITMOD)
def test_values_of_bitmods_formats_are_the_papers(name: str) -> None:
    format = FORMATS[name]
    base, specials = BITMOD[name]
    ordinary = [code for code in range(len(format.table)) if code != format.special_code]
    assert {format.table[code] * format.unit for code in ordinary} == base
    assert len(ordinary) == len(base) == 2**format.bits - 1  # the special value takes the code of minus zero
    assert tuple(value * format.unit for value in format.specials) == specials
    assert format.special_code == 1 << (format.bits - 1)


@pytest.mark.parametrize("name", TABLES)
def test_values_of_the_other_formats_are_the_published_ones(name: str) -> None:
    assert FORMATS[name].table == TABLES[name]
    assert FORMATS[name].unit == (0.5 if name.startswith("bipolar") else 1)


@pytest.mark.parametrize("bits", range(2, 9))
def test_integers_are_twos_complement(bits: int) -> None:
    table = FORMATS[f"int{bits}"].table
    codes = np.arange(1 << bits, dtype=np.uint8) << (8 - bits)
    assert table == tuple(codes.view(np.int8) >> (8 - bits))


@pytest.mark.parametrize("name", TERMS)
def test_a_weight_takes_as_many_cycles_as_in_the_paper(name: str) -> None:
    assert FORMATS[name].terms_per_weight == TERMS[name]


FLOATS = {
    "bitmod": {"kind": "bitmod", "group": 32, "formats": ["int8", "bitmod-fp4"]},
    "lut": {"kind": "lut", "group": 32, "formats": ["int4", "ternary"]},
    "lut of a channel": {"kind": "lut", "group": "channel", "formats": ["int4"], "lanes": 8},
    "lut with rounded entries": {"kind": "lut", "group": 32, "formats": ["bipolar2"], "entries": "int8"},
}
"""Engines for fp16 activations."""


def float_manifest(name: str) -> GemmManifest:
    config = make_config({"rows": 1, "columns": 1, "lanes": 4, "activations": "fp16", **FLOATS[name]})
    return gemm_spec(config, pe_spec(config))[1]


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("number", [1.0, -0.375, 2.0**-14, 65504.0])
def test_a_sum_is_its_value_times_two_to_its_exponent_less_the_manifests_bias(name: str, number: float) -> None:
    """A single product, of which the manifest must give the number as anybody would compute it.

    A wrong bias is off by a factor of two; rounded entries are off by a part of 254.
    """
    gemm = float_manifest(name)
    format = FORMATS[gemm.weights.steps[0].format]
    tensor = random_tensor(np.random.default_rng(0), gemm, format, 1, 32)
    activations = np.zeros((1, 32), np.float16)
    activations[0, 5] = number
    value, exponent = golden_sums(gemm, tensor, activations)
    weight = tensor.values()[0, 5] * int(tensor.scales[0, 0])
    found = Fraction(int(value[0, 0])) * Fraction(2) ** (int(exponent[0, 0]) - gemm.sums.exponent_bias)
    assert abs(found - Fraction(number) * int(weight)) <= abs(Fraction(number) * int(weight)) / 100
    assert weight != 0
