"""mapping/compress/error_feedback.py: outputs err less than with nearest codes, and corners of the inputs."""

import numpy as np
import pytest
from hypothesis import strategies as st

from einloom.mapping.compress.error_feedback import InputGram
from einloom.mapping.compress.nearest import GroupLevels, levels
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.spec.formats import FORMATS
from einloom.spec.quantized import QuantizedTensor
from tests.properties import given, settings

EVERY_FORMAT = pytest.mark.parametrize("name", FORMATS)
GROUP = 32


def correlated(tokens: int, inputs: int, seed: int) -> np.ndarray:
    """Inputs [tokens, inputs] that a few directions explain, as those of a layer of a model."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(8, inputs)) * rng.lognormal(0, 1, inputs)
    return (rng.normal(size=(tokens, 8)) @ directions + 0.3 * rng.normal(size=(tokens, inputs))).astype(np.float32)


def output_error(weights: np.ndarray, tensor: QuantizedTensor, x: np.ndarray) -> float:
    """Squared error of the outputs, relative to the outputs."""
    return float(np.square(x @ (tensor.dequantize() - weights).T).sum() / np.square(x @ weights.T).sum())


@EVERY_FORMAT
@pytest.mark.parametrize("per_channel", [False, True], ids=["groups", "channels"])
def test_outputs_err_less_than_with_the_nearest_codes(name: str, per_channel: bool) -> None:
    format = FORMATS[name]
    if per_channel and format.special_code is not None:
        pytest.skip("needs groups")
    x = correlated(512, 128, 3)
    weights = np.random.default_rng(1).normal(0, 0.02, (70, 128)).astype(np.float32)
    gram = InputGram.of(x)
    if per_channel:
        nearest = quantize_per_channel(weights, format, scale_search=True)
        calibrated = quantize_per_channel(weights, format, gram=gram)
    else:
        nearest = quantize(weights, format, GROUP, scale_search=True)
        calibrated = quantize(weights, format, GROUP, gram=gram)
    assert output_error(weights, calibrated, x) < 0.6 * output_error(weights, nearest, x)


@settings(max_examples=20)
@given(st.sampled_from(["int4", "bitmod-fp4", "bitmod-fp3", "ternary"]), st.integers(0, 1 << 30))
def test_outputs_come_nearer_to_those_of_exact_inputs_on_another_text(name: str, seed: int) -> None:
    """Inputs are what a layer before makes of a stream by a matrix that is a little wrong, always in the same way."""
    rng = np.random.default_rng(seed)
    stream, maker = correlated(4096, 96, seed), rng.normal(0, 0.1, (64, 96)).astype(np.float32)
    wrong = maker + rng.normal(0, 0.03, maker.shape).astype(np.float32)
    exact, inputs = stream @ maker.T, stream @ wrong.T
    weights = rng.normal(0, 0.02, (32, 64)).astype(np.float32)
    gram = InputGram.of(inputs[:3072], exact[:3072])
    plain, aimed = (quantize(w, FORMATS[name], GROUP, gram=gram) for w in (weights, gram.aimed(weights)))

    def error(tensor: QuantizedTensor) -> float:
        return float(np.square(inputs[3072:] @ tensor.dequantize().T - exact[3072:] @ weights.T).sum())

    assert error(aimed) < error(plain)


def test_weights_aim_at_themselves_where_inputs_are_exact() -> None:
    x, weights = correlated(256, 64, 7), np.random.default_rng(8).normal(size=(5, 64)).astype(np.float32)
    np.testing.assert_array_equal(InputGram.of(x).aimed(weights), weights)
    np.testing.assert_array_equal(InputGram.of(x, x).aimed(weights), weights)
    padded = np.pad(x, ((0, 0), (0, 32)))
    moved = InputGram.of(padded, padded * np.float32(1.5)).aimed(np.pad(weights, ((0, 2), (0, 32))))
    assert moved[:5, :64].any()
    assert not moved[5:].any()
    assert not moved[:, 64:].any()


def test_uncorrelated_inputs_leave_nothing_to_make_good() -> None:
    """With the unit matrix as gram, and steps of the plain search, the codes are the nearest ones."""
    weights = np.random.default_rng(2).normal(0, 1, (9, 64)).astype(np.float32)
    tensor = quantize(weights, FORMATS["bitmod-fp4"], GROUP, gram=InputGram(np.eye(64, dtype=np.float32)))
    scale = (tensor.channel_scale[:, None] * tensor.scales).repeat(GROUP, axis=1) * tensor.format.unit
    error = np.abs(tensor.dequantize() - weights)
    for special in range(4):
        chosen = np.repeat(tensor.selectors == special, GROUP, axis=1)
        for value in levels(tensor.format)[special].values:
            assert (error <= np.abs(value * scale - weights) + 1e-6)[chosen].all()


def test_inputs_that_never_come_are_rounded_to_the_nearest() -> None:
    x = correlated(256, 64, 5)
    x[:, GROUP:] = 0
    weights = np.random.default_rng(4).normal(0, 1, (8, 64)).astype(np.float32)
    tensor = quantize(weights, FORMATS["int8"], GROUP, gram=InputGram.of(x))
    assert np.abs(tensor.dequantize() - weights)[:, GROUP:].max() < 0.03
    zeros = quantize(weights, FORMATS["int4"], GROUP, gram=InputGram(np.zeros((64, 64), np.float32)))
    assert np.isfinite(zeros.dequantize()).all()


@settings(max_examples=40)
@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 1 << 30), st.sampled_from([1e-30, 1.0, 1e30]))
def test_padding_rows_and_scales_change_nothing(name: str, seed: int, factor: float) -> None:
    """Zeros stay zeros where the format has one, rows don't depend on each other, and magnitudes don't matter."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(6, 64)).astype(np.float32)
    weights[3] = 0
    gram = InputGram.of(correlated(40, 64, seed))
    whole = quantize(weights, FORMATS[name], GROUP, gram=gram)
    part = quantize(weights[2:4] * np.float32(2.0 ** round(np.log2(factor))), FORMATS[name], GROUP, gram=gram)
    np.testing.assert_array_equal(whole.codes[2:4], part.codes)
    assert not whole.dequantize()[3].any()


@EVERY_FORMAT
def test_the_levels_of_all_selectors_are_those_of_each(name: str) -> None:
    format = FORMATS[name]
    all_of_them = GroupLevels.of(format)
    steps = np.linspace(-20, 20, 4001, dtype=np.float32)
    for selector, choice in enumerate(levels(format)):
        places = all_of_them.places(steps, all_of_them.offsets(np.array(selector, np.uint8)))
        np.testing.assert_array_equal(all_of_them.values.ravel()[places], choice.round(steps))
        np.testing.assert_array_equal(all_of_them.codes.ravel()[places], choice.encode(steps))
