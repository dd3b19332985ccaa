"""Quantization of a weight matrix: rounding to nearest with a scale per group, or with one per output channel."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.error_feedback import InputGram, feedback_codes, reconstructed
from einloom.mapping.compress.group_search import search_groups, search_weighted_groups
from einloom.mapping.compress.nearest import Float32, levels
from einloom.mapping.compress.row_blocks import BLOCK_WEIGHTS, for_row_blocks, row_blocks
from einloom.mapping.compress.second_level import second_level
from einloom.spec.errors import InputError
from einloom.spec.formats import Format
from einloom.spec.quantized import QuantizedTensor
from einloom.spec.sparsity import largest

UInt8 = npt.NDArray[np.uint8]
ENGINE_GROUPS = (128, 64, 32)
FEEDBACK_WEIGHTS = 1 << 21
"""Weights of a block for error feedback: work on an input's column should outweigh its few calls of NumPy."""
LARGEST_SHIFT = 126  # 2 ** +-126 are normal float32 numbers


def quantize(
    weights: Float32, format: Format, group: int, *, scale_search: bool = False, gram: InputGram | None = None
) -> QuantizedTensor:
    """Quantize `weights` with two levels of scales.

    Integer formats round half to even, with the largest weight of a group mapped to qmax. BitMoD formats also choose a
    special value per group, and ties go to the lower value. The codes are those nearest under the quantized scales.

    Parameters
    ----------
    weights : float32 [N outputs, K inputs].
    format : format of the codes.
    group : consecutive inputs that share a scale and, in BitMoD formats, a special value.
    scale_search : try many steps per group, from 0.6 to 1.1 times the usual one, and keep the best. For formats of
        table look-up alone (bipolar, ternary) the search begins at 0.1. A format in which the usual step is worse than
        zeros is searched in any case.
    gram : gram matrix of the layer's inputs. With it scales are searched for the least error of the outputs, and codes
        make good each other's rounding (mapping/compress/error_feedback.py).

    Raises InputError when weights are NaN or infinite, or when the group doesn't divide their inputs.
    """
    _check(weights)
    check_group(weights.shape[1], group)
    search = scale_search or format.needs_scale_search
    if format.pruned:
        return _pruned(weights, format, group, gram, lambda w, f: quantize(w, f, group, scale_search=search))
    if gram is not None:
        return _by_blocks(weights, format, group, lambda rows: _calibrated(rows, format, group, gram), FEEDBACK_WEIGHTS)
    return _by_blocks(weights, format, group, lambda rows: _grouped(rows, format, group, search))


def quantize_per_channel(
    weights: Float32, format: Format, *, scale_search: bool = False, gram: InputGram | None = None
) -> QuantizedTensor:
    """Quantize `weights` [N, K] with one scale per output channel and no group scales; the rest is as for `quantize`.

    Raises InputError when weights are NaN or infinite, or when the format needs groups for its special values.
    """
    _check(weights)
    if format.special_code is not None:
        raise InputError(f"{format.name} chooses a special value per group: quantize it in groups")
    search = scale_search or format.needs_scale_search
    if format.pruned:
        return _pruned(weights, format, None, gram, lambda w, f: quantize_per_channel(w, f, scale_search=search))
    inputs = weights.shape[1]
    if gram is not None:
        return _by_blocks(weights, format, inputs, lambda rows: _calibrated(rows, format, None, gram), FEEDBACK_WEIGHTS)
    return _by_blocks(weights, format, inputs, lambda rows: _ungrouped(rows, format, search))


def _pruned(
    weights: Float32,
    format: Format,
    group: int | None,
    gram: InputGram | None,
    nearest: Callable[[Float32, Format], QuantizedTensor],
) -> QuantizedTensor:
    """Quantize the weights that `format` keeps; the others are zero.

    Without a gram matrix the largest are kept (magnitude pruning), and rounded as `nearest` does with a format of all
    weights. With one those are kept whose pruning would leave the larger error after feedback, and what is kept makes
    good what is pruned.
    """
    assert format.pruned is not None
    count, of = format.pruned
    if weights.shape[1] % of:
        raise InputError(f"{format.name} takes {of} inputs at a time, which don't divide {weights.shape[1]}")
    dense = format.full
    if gram is None:
        kept = largest(np.abs(weights), count, of)
        tensor = nearest(np.where(kept, weights, np.float32(0)), dense)
        return replace(tensor, format=format.stored, codes=np.where(kept, tensor.codes, np.uint8(0)))

    def part(rows: Float32) -> tuple[UInt8, UInt8, UInt8, Float32]:
        kept = largest(np.square(rows) * gram.importance, count, of)
        return _calibrated(rows, dense, group, gram, kept)

    tensor = _by_blocks(weights, dense, group or weights.shape[1], part, FEEDBACK_WEIGHTS)
    return replace(tensor, format=format.stored)


def check_group(inputs: int, group: int) -> None:
    """InputError, with a group that would do, unless `group` divides the `inputs` of a matrix."""
    if group < 1 or inputs % group:
        usual_first = (*ENGINE_GROUPS, *range(ENGINE_GROUPS[0], 0, -1))
        fitting = next(g for g in usual_first if inputs % g == 0)
        raise InputError(f"a group of {group} doesn't divide the {inputs} inputs: use a group of {fitting}")


def _check(weights: Float32) -> None:
    if weights.ndim != 2 or 0 in weights.shape:
        raise InputError(f"weights must be a matrix [outputs, inputs], not of shape {list(weights.shape)}")
    for rows in row_blocks(weights.shape):
        finite = np.isfinite(weights[rows])
        if not finite.all():
            n, k = np.argwhere(~finite)[0].tolist()
            raise InputError(f"the weight at [{rows.start + n}, {k}] is {weights[rows.start + n, k]}")


def _by_blocks(
    weights: Float32,
    format: Format,
    group: int,
    part: Callable[[Float32], tuple[UInt8, UInt8, UInt8, Float32]],
    block_weights: int = BLOCK_WEIGHTS,
) -> QuantizedTensor:
    """The tensor whose codes, scales, selectors and channel scales `part` gives for each block of rows.

    Rows are shifted by powers of two to magnitudes near 1, which keeps the squares of tiny and of huge weights within
    float32. It changes nothing but weights 2 ** 126 times smaller than their row's largest, which may become 0.
    """
    groups = weights.shape[0], weights.shape[1] // group
    codes, channel_scale = np.empty(weights.shape, np.uint8), np.empty(weights.shape[0], np.float32)
    scales, selectors = np.empty(groups, np.uint8), np.empty(groups, np.uint8)
    for rows in row_blocks(weights.shape, block_weights):
        _, exponents = np.frexp(np.abs(weights[rows]).max(axis=1))
        exponents = np.clip(exponents, -LARGEST_SHIFT, LARGEST_SHIFT)
        shifted = weights[rows] * np.ldexp(np.float32(1), -exponents)[:, None]
        codes[rows], scales[rows], selectors[rows], steps = part(shifted)
        channel_scale[rows] = np.ldexp(steps / np.float32(format.unit), exponents)
    return QuantizedTensor(format, group, codes, scales, selectors, channel_scale)


def _grouped(rows: Float32, format: Format, group: int, scale_search: bool) -> tuple[UInt8, UInt8, UInt8, Float32]:
    grouped = rows.reshape(len(rows), -1, group)
    steps, selectors = search_groups(grouped, format, scale_search=scale_search)
    channel, scales = second_level(steps)
    effective = channel[:, None] * scales
    return _encode(grouped, format, effective, selectors).reshape(rows.shape), scales, selectors, channel


def _ungrouped(rows: Float32, format: Format, scale_search: bool) -> tuple[UInt8, UInt8, UInt8, Float32]:
    steps, selectors = search_groups(rows[:, None], format, scale_search=scale_search)
    codes = _encode(rows[:, None], format, steps, selectors)
    return codes.reshape(rows.shape), np.ones_like(selectors), selectors, steps[:, 0]


def _calibrated(
    rows: Float32, format: Format, group: int | None, gram: InputGram, kept: npt.NDArray[np.bool_] | None = None
) -> tuple[UInt8, UInt8, UInt8, Float32]:
    size = group or rows.shape[1]
    importance = gram.importance.reshape(-1, size)
    # What is kept grows when it makes good what is not, and steps must have room for it.
    grouped = (rows if kept is None else reconstructed(rows, kept, gram)).reshape(len(rows), -1, size)
    found = for_row_blocks(rows.shape, lambda part: search_weighted_groups(grouped[part], format, importance))
    steps, selectors = (np.concatenate(parts) for parts in zip(*found, strict=True))
    channel, scales = second_level(steps) if group else (steps[:, 0], np.ones_like(selectors))
    codes = feedback_codes(rows, format, channel[:, None] * scales, selectors, gram, kept)
    return codes, scales, selectors, channel


def _encode(grouped: Float32, format: Format, steps: Float32, selectors: UInt8) -> UInt8:
    """Codes [N, G, group] nearest to the weights, given each group's final step; a step of 0 means zeros."""
    in_steps = grouped / np.where(steps > 0, steps, np.float32(1))[..., None]
    codes = np.empty(grouped.shape, np.uint8)
    for selector, choice in enumerate(levels(format)):
        chosen = selectors == selector
        codes[chosen] = choice.encode(in_steps[chosen])
    return codes
