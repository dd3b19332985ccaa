"""mapping/codegen/float_ops.py and quantize.py on the golden executor, against float64."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from einloom.mapping.codegen import float_ops
from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.quantize import Scratch, layer_norm, quantize, quantize_normalised
from einloom.mapping.regions import Operand, Region
from einloom.spec.isa import VectorOp
from einloom.spec.manifest import Manifest
from tests.cores import core_manifest
from tests.vector_program import Floats, computed

HALF_STEP = 0.5 + 4e-5
"""A code is the nearest one but for the rounding of the reciprocal and of the product, in steps."""
Doubles = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return core_manifest(core={"lanes": 16, "vector_words": 1 << 16, "activation_words": 256})


def function(manifest: Manifest, x: Floats, emit: Callable[..., None]) -> Floats:
    """d = f(x) of numbers [n], with two words of scratch for each."""

    def program(p: ProgramBuilder, inputs: list[Region], result: Region) -> None:
        scratch = [p.per_token(name, result.words).at() for name in ("t", "u")]
        emit(p, result.at(), inputs[0].at(), *scratch, inner=result.words)

    return computed(manifest, [x[None]], x.size, program)[0][0]


def magnitudes(rng: np.random.Generator, low: float, high: float, count: int = 4096) -> Floats:
    """Numbers of both signs, |x| spread evenly over the logarithms from low to high, and powers of two."""
    x = 2.0 ** rng.uniform(low, high, count) * rng.choice([-1, 1], count)
    x[: int(high - low)] = 2.0 ** np.arange(low, high)[: int(high - low)]
    return x.astype(np.float32)


def relative(found: Floats, exact: Doubles) -> float:
    return float(np.abs(found / exact - 1).max())


def test_reciprocal(manifest: Manifest) -> None:
    x = magnitudes(np.random.default_rng(0), -125, 125)

    def emit(p: ProgramBuilder, d: Operand, x: Operand, t: Operand, _: Operand, *, inner: int) -> None:
        float_ops.reciprocal(p, d, x, t, inner=inner)

    assert relative(function(manifest, x, emit), 1 / x.astype(np.float64)) <= 2e-7


def test_reciprocal_square_root(manifest: Manifest) -> None:
    x = np.abs(magnitudes(np.random.default_rng(1), -125, 125))
    assert relative(function(manifest, x, float_ops.rsqrt), x.astype(np.float64) ** -0.5) <= 3e-7


def test_exp2(manifest: Manifest) -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(-126, 126, 4000), rng.uniform(-1, 1, 4000), np.arange(-126, 126, 0.5)])
    x = x.astype(np.float32)

    def emit(p: ProgramBuilder, d: Operand, x: Operand, t: Operand, _: Operand, *, inner: int) -> None:
        float_ops.exp2(p, d, x, t, inner=inner)

    assert relative(function(manifest, x, emit), 2.0 ** x.astype(np.float64)) <= 2.5e-7


def sigmoid_inputs() -> Floats:
    rng = np.random.default_rng(3)
    return np.concatenate([rng.uniform(-40, 40, 4000), magnitudes(rng, -40, 5, 4000), [0.0, -0.0]]).astype(np.float32)


def sigmoid(x: Floats) -> Doubles:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def test_sigmoid(manifest: Manifest) -> None:
    """2^-x log2(e) has the error of its argument, half a unit in the last place of up to 58: 2e-6 of the result."""
    x = sigmoid_inputs()
    found = function(manifest, x, float_ops.sigmoid)
    assert relative(found, sigmoid(x)) <= 3e-6
    near = np.abs(x) < 4
    assert relative(found[near], sigmoid(x[near])) <= 7e-7


def test_sigmoid_of_anything(manifest: Manifest) -> None:
    x = np.array([1e4, 3e38, np.inf, -1e4, -3e38, -np.inf, 1e-40, np.nan], np.float32)
    found = function(manifest, x, float_ops.sigmoid)
    assert (np.abs(found[:3] - 1) < 1e-7).all()
    assert (np.abs(found[3:6]) < 1e-19).all()
    assert abs(found[6] - 0.5) < 1e-7
    assert np.isnan(found[7])


def test_silu(manifest: Manifest) -> None:
    x = sigmoid_inputs()
    x = x[x != 0]

    def emit(p: ProgramBuilder, d: Operand, x: Operand, t: Operand, u: Operand, *, inner: int) -> None:
        float_ops.sigmoid(p, d, x, t, u, inner=inner)
        p.vec(VectorOp.MAD, d, d, x, inner=inner)

    assert relative(function(manifest, x, emit), x * sigmoid(x)) <= 3e-6


def test_gelu(manifest: Manifest) -> None:
    """Relative to |x|: where GELU itself is all but zero, its error is the sigmoid's."""
    x = sigmoid_inputs()
    exact = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.astype(np.float64) ** 3)))
    found = function(manifest, x, float_ops.gelu)
    assert (np.abs(found - exact) <= 4e-7 * np.abs(x)).all()
    near = np.abs(x) < 3
    assert (np.abs(found - exact)[near] <= 2e-6 * np.abs(exact[near])).all()
    huge = np.array([1e15, 1e30, np.inf, -1e15, -1e30], np.float32)
    found = function(manifest, huge, float_ops.gelu)
    assert relative(found[:2], huge[:2].astype(np.float64)) < 2e-7
    assert found[2] == np.inf
    assert (np.abs(found[3:] / huge[3:]) < 1e-19).all()


def test_exact_gelu(manifest: Manifest) -> None:
    x = np.concatenate([sigmoid_inputs(), np.linspace(-8, 8, 4001, dtype=np.float32)])
    exact = np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.astype(np.float64)])
    found = function(manifest, x, float_ops.exact_gelu)
    assert (np.abs(found - exact) <= 4e-6 + 4e-7 * np.abs(exact)).all()
    huge = np.array([1e15, 1e30, np.inf, -1e15, -1e30], np.float32)
    found = function(manifest, huge, float_ops.exact_gelu)
    assert relative(found[:2], huge[:2].astype(np.float64)) < 2e-7
    assert found[2] == np.inf
    assert (np.abs(found[3:] / huge[3:]) < 1e-19).all()


@pytest.mark.parametrize("cap", [1.0, 30.0])
def test_soft_cap(manifest: Manifest, cap: float) -> None:
    x = sigmoid_inputs() * np.float32(cap / 4)

    def emit(p: ProgramBuilder, d: Operand, x: Operand, t: Operand, u: Operand, *, inner: int) -> None:
        float_ops.soft_cap(p, cap, d, x, t, u, inner=inner)

    exact = cap * np.tanh(x.astype(np.float64) / cap)
    assert (np.abs(function(manifest, x, emit) - exact) <= 4e-7 * cap).all()


def vectors(seed: int, elements: int = 256) -> tuple[Floats, Floats, Floats]:
    """Four tokens of very different size and mean, gamma and beta."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, elements)) * [[1], [1e-3], [300], [1]] + [[0], [0], [0], [20]]
    gamma, beta = 1 + 0.3 * rng.normal(size=(1, elements)), rng.normal(size=(1, elements))
    return x.astype(np.float32), gamma.astype(np.float32), beta.astype(np.float32)


@pytest.mark.parametrize(("elements", "padded"), [(256, 256), (250, 256), (256, 320), (3, 256)])
def test_layer_norm(manifest: Manifest, elements: int, padded: int) -> None:
    """Zeros behind the elements count neither in the mean nor in the variance, and stay zeros."""
    x, gamma, beta = vectors(4, elements)

    def emit(p: ProgramBuilder, inputs: list[Region], result: Region) -> None:
        a, g, b, ones = inputs
        mask, words = ones.at() if elements < padded else None, p.words(padded)
        layer_norm(p, Scratch.of(p), a, g.at(), b.at(), result, words=words, elements=elements, epsilon=1e-5, mask=mask)

    tokens, behind = np.ones((4, 1), np.float32), ((0, 0), (0, padded - elements))
    operands = [x, tokens * gamma, tokens * beta, tokens * np.ones(elements, np.float32)]
    found, _ = computed(manifest, [np.pad(operand, behind) for operand in operands], padded, emit)
    assert not found[:, elements:].any()
    found = found[:, :elements]
    exact = x.astype(np.float64)
    exact = exact - exact.mean(axis=1, keepdims=True)
    exact = exact / np.sqrt((exact**2).mean(axis=1, keepdims=True) + 1e-5) * gamma + beta
    # Elements of x are known to 6e-8 of themselves, which is up to 24 deviations in the last token.
    assert (np.abs(found - exact).max(axis=1) <= [2e-6, 2e-6, 2e-6, 8e-6]).all()


# Quantization.


def check_codes(x: Floats, exact: Doubles, manifest: Manifest, emit: Callable[..., None], *operands: Floats) -> None:
    """`emit` gives codes and scales of the `exact` values, from x [T, elements] and further operands."""
    tokens, elements = x.shape

    def program(p: ProgramBuilder, inputs: list[Region], result: Region) -> None:
        p.activations.region("others", 3)
        emit(p, inputs, p.activations.region("codes", p.words(elements)), result)

    scales, memories = computed(manifest, [x, *operands], 1, program)
    codes = memories.activations[:tokens, 3:].reshape(tokens, -1)[:, :elements]
    expected = np.abs(exact).max(axis=1) / 127
    assert (np.abs(scales[:, 0] / expected - 1) <= 1e-6).all()
    assert (np.abs(codes).max(axis=1) == 127).all()
    assert np.abs(codes - exact / expected[:, None]).max() <= HALF_STEP


def test_quantized_activations(manifest: Manifest) -> None:
    x, _, _ = vectors(5)

    def emit(p: ProgramBuilder, inputs: list[Region], codes: Region, scale: Region) -> None:
        quantize(p, Scratch.of(p), inputs[0].at(), codes, scale, words=inputs[0].words)

    check_codes(x, x.astype(np.float64), manifest, emit)


def test_quantized_norms(manifest: Manifest) -> None:
    x, gamma, _ = vectors(6)

    def emit(p: ProgramBuilder, inputs: list[Region], codes: Region, scale: Region) -> None:
        a, g = inputs
        weighted = p.per_token("weighted", a.words)
        quantize_normalised(p, Scratch.of(p), a, g.at(), weighted, codes, scale, words=16, elements=256, epsilon=1e-5)

    exact = x / np.sqrt((x.astype(np.float64) ** 2).mean(axis=1, keepdims=True) + 1e-5) * gamma
    check_codes(x, exact, manifest, emit, np.ones((4, 1), np.float32) * gamma)


def test_a_token_of_zeros_has_codes_of_zero(manifest: Manifest) -> None:
    def emit(p: ProgramBuilder, inputs: list[Region], scale: Region) -> None:
        quantize(p, Scratch.of(p), inputs[0].at(), p.activations.region("codes", 2), scale, words=2)

    scales, memories = computed(manifest, [np.zeros((1, 32), np.float32)], 1, emit)
    assert not memories.activations.any()
    assert 0 < scales[0, 0] < 1e-30
