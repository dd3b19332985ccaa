"""Table look-up with fp16 activations: the exact definition of its rounding, evaluated for all outputs at once.

The definition is in the docstring of hw/pe/lut_fp16.py; this is the same mathematics by value, on whole weights.
Nothing here knows tables, planes or cycles.
"""

import numpy as np
import numpy.typing as npt

from einloom.sim.golden.lut_rounded import Rounding, groups_of
from einloom.spec.quantized import QuantizedTensor

Integers = npt.NDArray[np.int64]

ALIGN_BITS = 3
EXPONENT_BIAS = 25 + ALIGN_BITS


def aligned_gemm(
    activations: npt.NDArray[np.float16], weights: QuantizedTensor, lanes: int
) -> tuple[Integers, Integers]:
    """(value, exponent) of every output, int64 [T, N] each; the sum is value * 2 ** (exponent - EXPONENT_BIAS).

    Parameters
    ----------
    activations : float16 [T, K], finite.
    weights : [N, K].
    lanes : activations of a step, which are aligned together.
    """
    integers, exponents = align(activations, lanes)
    before = np.pad(exponents, ((0, 0), (1, 0)))  # E(s - 1)
    values, steps = weights.values(), weights.group // lanes
    total = np.zeros((len(activations), weights.shape[0]), np.int64)
    for group in range(weights.shape[1] // weights.group):
        group_sum = np.zeros_like(total)
        for step in range(group * steps, (group + 1) * steps):
            k = slice(step * lanes, (step + 1) * lanes)
            raised = exponents[:, step] - before[:, step]
            group_sum = (group_sum >> raised[:, None]) + integers[:, k] @ values[:, k].T
        raised = before[:, (group + 1) * steps] - before[:, group * steps]
        total = (total >> raised[:, None]) + weights.scales[:, group].astype(np.int64) * group_sum
    return total, np.broadcast_to(exponents[:, -1:], total.shape)


def rounded_aligned_gemm(
    activations: npt.NDArray[np.float16], weights: QuantizedTensor, rounding: Rounding
) -> tuple[Integers, Integers]:
    """aligned_gemm with tables whose entries are rounded, as sim/golden/lut_rounded.py says, in the unit of their step.

    A group's sum may be a half, because two digits of a ternary weight may round differently. The half stays until the
    exponent is raised or the group ends; both round the sum down.
    """
    integers, exponents = align(activations, rounding.lanes)
    raised = np.diff(exponents, prepend=0)
    steps = weights.group // rounding.lanes
    total = np.zeros((len(activations), weights.shape[0]), np.int64)
    for group, (k, digits) in enumerate(groups_of(weights)):
        doubled = np.zeros_like(total)
        added = rounding.doubled_sums(integers[:, k], digits, weights.format.planes)
        of_group = raised[:, group * steps : (group + 1) * steps]
        for step in range(steps):
            by = of_group[:, step, None]
            doubled = np.where(by > 0, doubled >> by + 1 << 1, doubled) + added[..., step]
        total = (total >> of_group.sum(axis=-1)[:, None]) + weights.scales[:, group].astype(np.int64) * (doubled >> 1)
    return total, np.broadcast_to(exponents[:, -1:], total.shape)


def rounded_alignment_bound(
    activations: npt.NDArray[np.float16], weights: QuantizedTensor, rounding: Rounding
) -> npt.NDArray[np.float64]:
    """A bound [T, N] on |value * 2 ** (exponent - bias) - exact sum| of rounded_aligned_gemm.

    It is the bound of exact entries, and in addition:

    * the error of rounding the entries of each step, in the step's unit;
    * at most one unit of a group for halves. One is dropped at each raise of the exponent, which later raises halve
      again, and one at the end of the group.
    """
    integers, exponents = align(activations, rounding.lanes)
    unit = 2.0 ** (exponents - EXPONENT_BIAS)
    of_steps = rounding.step_bounds(integers, weights.format.planes) * unit
    of_groups = of_steps.reshape(len(integers), -1, weights.group // rounding.lanes).sum(axis=-1)
    scales = weights.scales.astype(np.float64)
    rounded: npt.NDArray[np.float64] = of_groups @ scales.T + unit[:, -1:] * scales.sum(axis=1)
    return alignment_bound(activations, weights, rounding.lanes) + rounded


def alignment_bound(
    activations: npt.NDArray[np.float16], weights: QuantizedTensor, lanes: int
) -> npt.NDArray[np.float64]:
    """A bound [T, N] on |value * 2 ** (exponent - bias) - exact sum|.

    Aligning an activation errs by at most half a unit of its step. A division that rounds down errs by less than a
    unit, and each later division at least halves that error. So divisions err by less than two units in all, once in
    every group and once more in the output. No step's unit is larger than the last one's.
    """
    _, exponents = align(activations, lanes)
    scales = weights.scales.astype(np.float64)
    magnitudes = np.abs(weights.values()) * np.repeat(scales, weights.group, axis=1)
    units = magnitudes.sum(axis=1) / 2 + 2 * scales.sum(axis=1) + 2
    bound: npt.NDArray[np.float64] = units * 2.0 ** (exponents[:, -1:] - EXPONENT_BIAS)
    return bound


def align(activations: npt.NDArray[np.float16], lanes: int) -> tuple[Integers, Integers]:
    """The integers [T, K] that stand for the activations, and the exponent of each step [T, K / lanes]."""
    bits = activations.view(np.uint16).astype(np.int64)
    own = np.maximum(bits >> 10 & 31, 1)
    by_step = own.reshape(len(own), -1, lanes)
    exponents = np.maximum.accumulate(by_step.max(axis=-1), axis=-1)
    units = 2.0 ** (np.repeat(exponents, lanes, axis=-1) - EXPONENT_BIAS)
    # Both are exact in float64, and so is the quotient of a number and a power of two; rint rounds ties to even.
    return np.rint(activations.astype(np.float64) / units).astype(np.int64), exponents
