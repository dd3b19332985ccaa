"""The quantizer against a slow reference written from the paper, group by group and value by value."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from einloom.mapping.compress.fidelity import measure, normalized_squared_error, total
from einloom.mapping.compress.group_search import (
    FULL_RANGE,
    SEARCHED_RANGES,
    WIDE_RANGES,
    search_groups,
    search_weighted_groups,
    searched_ranges,
)
from einloom.mapping.compress.nearest import levels
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.mapping.compress.second_level import second_level
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS, Format
from tests.properties import given

FP3, FP4 = FORMATS["bitmod-fp3"], FORMATS["bitmod-fp4"]
DENSE = {
    name: format for name, format in FORMATS.items() if format.neighbours == 1
}  # tests/test_sparsity.py has the others
EVERY_FORMAT = pytest.mark.parametrize("format", DENSE.values(), ids=DENSE)
BITMOD = pytest.mark.parametrize("format", [FP3, FP4], ids=["fp3", "fp4"])


def gaussian(*shape, seed=1, sigma=0.02):
    return np.random.default_rng(seed).normal(0, sigma, shape).astype(np.float32)


def choices(format: Format) -> list[list[int]]:
    """The ascending values of a group, for each selector."""
    if format.is_integer:
        return [sorted(set(format.table))]
    if format.special_code is None:
        return [sorted(format.table)]
    return [sorted({*format.table, special}) for special in format.specials]


def round_reference(steps: np.ndarray, values: list[int], *, half_even: bool) -> np.ndarray:
    """The nearest values of real numbers, one by one; the first of the nearest is the lower one."""
    if half_even:
        return np.array([min(max(round(float(x)), values[0]), values[-1]) for x in steps])
    return np.array([min(values, key=lambda v: abs(float(x) - v)) for x in steps])


def search_reference(group: np.ndarray, format: Format, shares: np.ndarray) -> tuple[np.float32, int]:
    """Algorithm 1 of the paper for one group [G]: the step and the selector."""
    best = np.float32(np.inf), np.float32(0), 0
    for selector, values in enumerate(choices(format)):
        for share in shares:
            largest = format.qmax if format.is_integer else max(map(abs, values))
            step = np.abs(group).max() * share / np.float32(largest)
            rounded = round_reference(group / step, values, half_even=format.is_integer).astype(np.float32)
            error = np.square(rounded * step - group)[None].mean(axis=-1)[0]
            if error < best[0]:
                best = error, step, selector
    return best[1:]


@EVERY_FORMAT
@pytest.mark.parametrize("scale_search", [False, True], ids=["full-range", "search"])
def test_first_level_is_the_papers_search(format, scale_search):
    groups = gaussian(2, 3, 16, sigma=0.3)
    steps, selectors = search_groups(groups, format, scale_search=scale_search)
    shares = searched_ranges(format) if scale_search else FULL_RANGE
    for index in np.ndindex(2, 3):
        assert (steps[index], selectors[index]) == search_reference(groups[index], format, shares)


def test_search_has_26_ranges_with_the_full_one_among_them():
    assert len(SEARCHED_RANGES) == 26
    assert 1 in SEARCHED_RANGES
    assert (SEARCHED_RANGES[0], SEARCHED_RANGES[-1]) == (np.float32(0.6), np.float32(1.1))
    assert 1 in WIDE_RANGES


@EVERY_FORMAT
@given(
    weights=hnp.arrays(np.float32, (2, 8), elements=st.floats(-(2.0**100), 2.0**100, width=32)), search=st.booleans()
)
def test_codes_are_nearest_under_the_stored_scales(format, weights, search):
    tensor = quantize(weights, format, 4, scale_search=search)
    step = tensor.channel_scale[:, None].astype(np.float64) * tensor.scales * format.unit
    for n, g in np.ndindex(2, 2):
        group = weights[n, 4 * g : 4 * g + 4].astype(np.float64)
        values = np.array(choices(format)[tensor.selectors[n, g]])
        chosen = tensor.values()[n, 4 * g : 4 * g + 4]
        assert set(chosen) <= set(values)
        best = np.abs(group[:, None] - values * step[n, g]).min(axis=1)
        # Which of two values is nearer is decided in float32.
        assert (np.abs(group - chosen * step[n, g]) <= best + 1e-6 * np.abs(group)).all()
        if not group.any():
            assert tensor.scales[n, g] == 0
        elif np.abs(group).max() > 1e-30 * np.abs(weights[n]).max():
            assert tensor.scales[n, g] > 0


def test_bitmod_ties_go_to_the_lower_value():
    steps = [-9.0, -5.0, -4.9, -3.0, -1.5, -0.5, -0.4, 0.5, 0.6, 1.5, 3.0, 3.1, 9.0]
    values = [-6, -6, -4, -4, -2, -1, 0, 0, 1, 1, 2, 4, 4]
    with_minus_six = levels(FP3)[3]
    assert with_minus_six.round(np.array(steps, np.float32)).tolist() == values
    codes = with_minus_six.encode(np.array(steps, np.float32))
    assert FP3.decode(codes, np.array(3)).tolist() == values


def test_integer_ties_go_to_the_even_value():
    weights = np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 3.25]], np.float32)
    tensor = quantize_per_channel(weights, FORMATS["int8"])
    assert tensor.values().tolist() == [[127, 0, 2, 2, 0, -2, -2, 3]]


def test_of_equal_candidates_the_first_wins():
    weights = np.array([[12, 8, 6, 4, 3, 2, 1, 0]], np.float32)  # the base values alone fit
    assert quantize(weights, FP4, 8).selectors.tolist() == [[0]]
    mirrored = np.array([[12, -10, 6, 4, 3, 2, 1, 0]], np.float32)
    assert quantize(mirrored, FP4, 8).selectors.tolist() == [[1]]


@EVERY_FORMAT
def test_second_level_is_exact_where_all_scales_are_multiples(format):
    """Weights that the format holds exactly come back exactly."""
    rng = np.random.default_rng(3)
    scales = np.array([[255, 64, 1], [128, 255, 2], [255, 255, 255]])
    values = rng.choice(choices(format)[0], (3, 3, 8))
    values[..., 0] = max(choices(format)[0], key=abs)
    weights = (values * scales[..., None] * 2.0**-12).reshape(3, 24).astype(np.float32)
    tensor = quantize(weights, format, 8)
    assert (tensor.scales == scales).all()
    assert (tensor.dequantize() == weights).all()


def test_second_level_maps_the_largest_step_to_255_and_erases_nothing():
    channel, scales = second_level(np.array([[1.0, 0.25, 1e-6, 0.0], [0, 0, 0, 0]], np.float32))
    assert scales.tolist() == [[255, 64, 1, 0], [0, 0, 0, 0]]
    assert channel.tolist() == [np.float32(1 / 255), 0]


@EVERY_FORMAT
def test_zeros_stay_zeros(format):
    weights = gaussian(4, 32)
    weights[1], weights[2, 8:16] = 0, 0
    tensor = quantize(weights, format, 8, scale_search=True)
    assert tensor.channel_scale[1] == 0
    assert not tensor.scales[1].any()
    assert tensor.scales[2].tolist().index(0) == 1
    assert not tensor.dequantize()[weights == 0].any()
    assert measure("zeros", weights[1:2], quantize(weights[1:2], format, 8)).nmse == 0


def test_a_group_far_below_its_row_is_not_erased_by_its_scale():
    weights = np.array([[1.0, 0.5, 1e-30, -1e-38]], np.float32)
    tensor = quantize(weights, FP4, 2)
    assert tensor.scales.tolist() == [[255, 1]]
    assert tensor.values()[0, 2:].tolist() == [0, 0]


@pytest.mark.parametrize("magnitude", [1e-30, 1e-18, 1.0, 1e18, 1e30])
def test_magnitude_changes_nothing(magnitude):
    power = np.float32(2.0 ** np.round(np.log2(magnitude)))
    weights = gaussian(4, 128, sigma=1)
    near, far = quantize(weights, FP4, 32, scale_search=True), quantize(weights * power, FP4, 32, scale_search=True)
    for part in ("codes", "scales", "selectors"):
        assert (getattr(near, part) == getattr(far, part)).all()
    assert (near.channel_scale * power == far.channel_scale).all()


def test_per_channel_has_one_scale_per_row():
    weights = gaussian(5, 96)
    weights[3] = 0
    tensor = quantize_per_channel(weights, FORMATS["int8"])
    assert tensor.group == 96
    assert (tensor.scales == 1).all()
    assert tensor.channel_scale == pytest.approx(np.abs(weights).max(axis=1) / 127)
    assert (tensor.values().max(axis=1) <= 127).all()
    assert tensor.bits_per_weight == 8
    assert np.abs(tensor.dequantize() - weights).max() <= tensor.channel_scale.max() * 0.5001


def test_blocks_of_rows_don_t_show():
    weights = gaussian(70, 1024)
    whole = quantize(weights, FP3, 128)
    for row in (0, 31, 32, 69):
        alone = quantize(weights[row : row + 1], FP3, 128)
        assert (alone.dequantize() == whole.dequantize()[row]).all()


# Normalised squared error of Gaussian weights in groups of 128: what BitMoD promises, and what its parts bring.
@pytest.mark.parametrize(
    ("format", "bounds"), [(FP4, (8.7e-3, 9.7e-3, 1.21e-2, 1.41e-2)), (FP3, (3.32e-2, 3.86e-2, 5.8e-2, 7.7e-2))]
)
def test_error_falls_with_every_refinement(format, bounds):
    weights = gaussian(128, 1024)
    base_only = replace(format, specials=(max(format.table),) * 4)
    integers = FORMATS[f"int{format.bits}"]
    tensors = (
        quantize(weights, format, 128, scale_search=True),
        quantize(weights, format, 128),
        quantize(weights, base_only, 128),
        quantize(weights, integers, 128),
    )
    errors = [normalized_squared_error(weights, tensor.dequantize()) for tensor in tensors]
    assert errors == sorted(errors)
    for error, bound in zip(errors, bounds, strict=True):
        assert 0.95 * bound < error < bound


def test_total_is_the_error_of_all_weights_together():
    matrices = [gaussian(4, 64), gaussian(9, 32, sigma=3)]
    tensors = [quantize(w, FP3, group) for w, group in zip(matrices, (32, 16), strict=True)]
    whole = total(measure("w", w, t) for w, t in zip(matrices, tensors, strict=True))
    joined = [np.concatenate([m.ravel() for m in ms]) for ms in (matrices, [t.dequantize() for t in tensors])]
    assert whole.nmse == pytest.approx(normalized_squared_error(*joined))
    assert whole.weights == 4 * 64 + 9 * 32
    assert whole.bits_per_weight == pytest.approx((256 * (3 + 10 / 32) + 288 * (3 + 10 / 16)) / 544)


def message(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    return str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_must_be_finite(bad):
    weights = gaussian(4, 64)
    weights[2, 5] = bad
    assert message(quantize, weights, FP4, 32) == f"the weight at [2, 5] is {bad}"
    assert message(quantize_per_channel, weights, FORMATS["int8"]) == f"the weight at [2, 5] is {bad}"


@pytest.mark.parametrize(
    ("inputs", "group", "expected"),
    [
        (384, 256, "a group of 256 doesn't divide the 384 inputs: use a group of 128"),
        (96, 64, "a group of 64 doesn't divide the 96 inputs: use a group of 32"),
        (172, 128, "a group of 128 doesn't divide the 172 inputs: use a group of 86"),
        (64, 0, "a group of 0 doesn't divide the 64 inputs: use a group of 64"),
    ],
)
def test_the_group_must_divide_the_inputs(inputs, group, expected):
    assert message(quantize, gaussian(2, inputs), FP4, group) == expected


def test_weights_must_be_a_matrix():
    assert message(quantize, gaussian(8), FP4, 8) == "weights must be a matrix [outputs, inputs], not of shape [8]"
    assert (
        message(quantize, gaussian(0, 8), FP4, 8) == "weights must be a matrix [outputs, inputs], not of shape [0, 8]"
    )


def test_per_channel_takes_no_special_values():
    expected = "bitmod-fp4 chooses a special value per group: quantize it in groups"
    assert message(quantize_per_channel, gaussian(2, 8), FP4) == expected


@pytest.mark.parametrize("name", ["bitmod-fp4", "bitmod-fp3", "int4", "ternary"])
def test_a_weighted_search_of_few_ranges_errs_hardly_more_than_one_of_all(name):
    format, rng = FORMATS[name], np.random.default_rng(3)
    weights = rng.normal(size=(64, 4, 64)).astype(np.float32)
    weights /= np.abs(weights).max(axis=(1, 2), keepdims=True)
    importance = rng.lognormal(sigma=2, size=(4, 64)).astype(np.float32)

    def error(steps, choice):
        nearest = choice.round(weights / steps[..., None]) * steps[..., None]
        return (importance * np.square(nearest - weights)).sum(axis=-1)

    largest = np.abs(weights).max(axis=-1)
    every = [error(largest * share / c.largest, c) for c in levels(format) for share in searched_ranges(format)]
    steps, selectors = search_weighted_groups(weights, format, importance)
    by_selector = np.stack([error(steps, choice) for choice in levels(format)])
    found = np.take_along_axis(by_selector, selectors[None].astype(np.intp), axis=0)
    assert found.sum() < 1.13 * np.min(every, axis=0).sum()
