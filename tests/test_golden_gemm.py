"""The golden models of GEMM against independent arithmetic."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import strategies as st

from einloom.generators.registry import generate
from einloom.mapping.compress.quantize import quantize
from einloom.sim.bench.cases import random_activations, random_tensor
from einloom.sim.golden.bitmod import EXPONENT_BIAS, fp16_error_bound, fp16_gemm
from einloom.sim.golden.gemm import integer_gemm
from einloom.sim.golden.lut_fp16 import EXPONENT_BIAS as ALIGNED_BIAS
from einloom.sim.golden.lut_fp16 import aligned_gemm, alignment_bound, rounded_aligned_gemm, rounded_alignment_bound
from einloom.sim.golden.lut_rounded import Rounding
from einloom.spec.config import parse_config
from einloom.spec.formats import FORMATS, PLANE_FORMATS, TERM_FORMATS
from einloom.spec.lookup import table_sizes
from einloom.spec.quantized import QuantizedTensor
from tests.properties import given

TEXT = "name: g\nengine: {{kind: bitmod, rows: 4, columns: 4, group: 32, activations: {}}}"
GEMM = {kind: generate(parse_config(TEXT.format(kind), "g.yaml")).manifest.gemm for kind in ("int8", "fp16")}


def exact(activations: np.ndarray, tensor: QuantizedTensor) -> np.ndarray:
    """The sums as exact fractions, one product after the other."""
    values, group = tensor.values(), tensor.group
    return np.array([
        [
            sum(
                Fraction(float(a)) * int(w) * int(tensor.scales[n, k // group])
                for k, (a, w) in enumerate(zip(row, values[n], strict=True))
            )
            for n in range(len(values))
        ]
        for row in activations
    ])


@given(name=st.sampled_from(sorted(FORMATS)), seed=st.integers(0, 1 << 30))
def test_integer_sums_are_exact(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tensor = random_tensor(rng, GEMM["int8"], FORMATS[name], 2, 64)
    activations = random_activations(rng, GEMM["int8"], 2, 64)
    assert (integer_gemm(activations, tensor) == exact(activations, tensor)).all()


@given(name=st.sampled_from(sorted(TERM_FORMATS)), seed=st.integers(0, 1 << 30), lanes=st.sampled_from([1, 2, 4, 8]))
def test_fp16_sums_stay_within_the_stated_bound(name: str, seed: int, lanes: int) -> None:
    rng = np.random.default_rng(seed)
    tensor = random_tensor(rng, GEMM["fp16"], FORMATS[name], 2, 64)
    activations = random_activations(rng, GEMM["fp16"], 2, 64)
    value, exponent = fp16_gemm(activations, tensor, lanes)
    bound = fp16_error_bound(activations, tensor, lanes)
    for (t, n), expected in np.ndenumerate(exact(activations, tensor)):
        found = Fraction(int(value[t, n])) * Fraction(2) ** (int(exponent[t, n]) - EXPONENT_BIAS)
        assert abs(found - expected) <= Fraction(float(bound[t, n]))


def test_fp16_error_of_a_real_looking_layer_is_far_below_that_of_fp16_itself() -> None:
    rng = np.random.default_rng(1)
    weights, activations = rng.normal(size=(16, 1024)).astype(np.float32), rng.normal(size=(8, 1024)).astype(np.float16)
    tensor = quantize(weights, FORMATS["bitmod-fp4"], 128)
    value, exponent = fp16_gemm(activations, tensor, 4)
    found = np.ldexp(value.astype(np.float64), (exponent - EXPONENT_BIAS).astype(np.int32))
    scaled = tensor.values() * np.repeat(tensor.scales.astype(np.float64), 128, axis=1)
    expected = activations.astype(np.float64) @ scaled.T
    error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
    assert error < 2.0**-13  # an fp16 sum could be off by 2^-11 of itself


def test_subnormal_and_largest_fp16_numbers_are_exact_alone() -> None:
    tensor = random_tensor(np.random.default_rng(0), GEMM["fp16"], FORMATS["int8"], 1, 32)
    tensor = replace(tensor, codes=np.full_like(tensor.codes, 3), scales=np.full_like(tensor.scales, 5))
    for number in (2.0**-24, 65504.0, -(2.0**-14)):
        activations = np.zeros((1, 32), np.float16)
        activations[0, 7] = number
        value, exponent = fp16_gemm(activations, tensor, 4)
        assert float(value[0, 0]) * 2.0 ** float(exponent[0, 0] - EXPONENT_BIAS) == 15 * number


@given(name=st.sampled_from(sorted(PLANE_FORMATS)), seed=st.integers(0, 1 << 30), lanes=st.sampled_from([1, 4, 8, 32]))
def test_aligned_sums_stay_within_the_stated_bound(name: str, seed: int, lanes: int) -> None:
    rng = np.random.default_rng(seed)
    tensor = random_tensor(rng, GEMM["fp16"], FORMATS[name], 2, 64)
    activations = awkward_activations(rng)
    found = aligned_gemm(activations, tensor, lanes)
    assert_within(alignment_bound(activations, tensor, lanes), found, activations, tensor)


@given(
    name=st.sampled_from(sorted(name for name, f in PLANE_FORMATS.items() if not f.zero)),
    seed=st.integers(0, 1 << 30),
    lanes=st.sampled_from([1, 4, 8, 32]),
    inputs=st.integers(1, 6),
    per_table=st.booleans(),
)
def test_aligned_sums_of_rounded_entries_stay_within_the_stated_bound(
    name: str, seed: int, lanes: int, inputs: int, per_table: bool
) -> None:
    rng = np.random.default_rng(seed)
    tensor = random_tensor(rng, GEMM["fp16"], FORMATS[name], 2, 64)
    activations, rounding = awkward_activations(rng), Rounding(table_sizes(lanes, inputs), per_table)
    found = rounded_aligned_gemm(activations, tensor, rounding)
    assert_within(rounded_alignment_bound(activations, tensor, rounding), found, activations, tensor)


def awkward_activations(rng: np.random.Generator) -> np.ndarray:
    """fp16 [4, 64]: random ones, any bits, hardly any but zeros, and extremes."""
    activations = random_activations(rng, GEMM["fp16"], 4, 64)
    activations[1] = any_finite(rng, 64)
    activations[2] = np.where(rng.random(64) < 0.1, any_finite(rng, 64), 0)
    activations[3] = rng.choice(
        np.array([0, 2.0**-24, -(2.0**-14), 2.0**-14 - 2.0**-24, 65504, -65504], np.float16), 64
    )
    return activations


def assert_within(
    bound: np.ndarray, found: tuple[np.ndarray, np.ndarray], activations: np.ndarray, tensor: QuantizedTensor
) -> None:
    """`found`, values and exponents, is within `bound` of the exact sums."""
    value, exponent = found
    for (t, n), expected in np.ndenumerate(exact(activations, tensor)):
        number = Fraction(int(value[t, n])) * Fraction(2) ** (int(exponent[t, n]) - ALIGNED_BIAS)
        assert abs(number - expected) <= Fraction(float(bound[t, n]))


def any_finite(rng: np.random.Generator, count: int) -> np.ndarray:
    """fp16 of uniformly random bits, subnormals among them, but no infinities and no NaNs."""
    return (rng.integers(0, 31 << 10, count, np.uint16) | rng.integers(0, 2, count, np.uint16) << 15).view(np.float16)


@pytest.mark.parametrize(("outlier", "gain"), [(1, 64), (64, 4)])
def test_aligned_error_of_a_real_looking_layer_is_below_that_of_an_fp16_sum(outlier: float, gain: float) -> None:
    rng = np.random.default_rng(1)
    activations = rng.normal(size=(8, 1024)).astype(np.float16)
    activations[:, ::128] *= outlier
    tensor = random_tensor(rng, GEMM["fp16"], FORMATS["bipolar1"], 64, 1024)
    tensor = replace(tensor, scales=np.ones_like(tensor.scales))
    value, exponent = aligned_gemm(activations, tensor, 16)
    expected = activations.astype(np.float64) @ tensor.values().T
    in_fp16 = np.zeros(expected.shape, np.float16)
    for a, w in zip(activations.T, tensor.values().T, strict=True):
        in_fp16 += a[:, None] * w.astype(np.float16)
    aligned, summed = (
        np.sqrt(np.mean((found - expected) ** 2)) for found in (np.ldexp(1.0 * value, exponent - ALIGNED_BIAS), in_fp16)
    )
    assert gain * aligned < summed


@pytest.mark.parametrize("per_table", [False, True], ids=["step", "table"])
def test_rounded_entries_of_fp16_activations_cost_little_of_a_real_looking_layer(per_table: bool) -> None:
    rng = np.random.default_rng(4)
    activations = rng.normal(size=(8, 1024)).astype(np.float16)
    tensor = random_tensor(rng, GEMM["fp16"], FORMATS["bipolar2"], 64, 1024)
    value, exponent = rounded_aligned_gemm(activations, tensor, Rounding((4, 4, 4, 4), per_table))
    scaled = tensor.values() * np.repeat(tensor.scales.astype(np.float64), tensor.group, axis=1)
    expected = activations.astype(np.float64) @ scaled.T
    error = np.ldexp(1.0 * value, exponent - ALIGNED_BIAS) - expected
    assert np.sqrt(np.mean(error**2) / np.mean(expected**2)) < 2.0**-6


def test_aligned_sums_of_one_exponent_are_exact() -> None:
    rng = np.random.default_rng(2)
    tensor = random_tensor(rng, GEMM["fp16"], FORMATS["int4"], 3, 128)
    for scale in (2.0**-24, 1.0, 2.0**5):
        activations = (rng.integers(1024, 2048, (2, 128)) * scale).astype(np.float16)
        value, exponent = aligned_gemm(activations, tensor, 16)
        scaled = tensor.values() * np.repeat(tensor.scales.astype(np.int64), tensor.group, axis=1)
        assert (np.ldexp(value * 1.0, exponent - ALIGNED_BIAS) == activations.astype(np.float64) @ scaled.T).all()


def test_activations_of_the_wrong_type_are_refused() -> None:
    tensor = random_tensor(np.random.default_rng(0), GEMM["int8"], FORMATS["int8"], 1, 32)
    with pytest.raises(TypeError, match=r"^activations must be int8, not int64$"):
        integer_gemm(np.zeros((1, 32), np.int64), tensor)  # type: ignore[arg-type]
