"""BitMoD with fp16 activations: the exact definition of its rounding, evaluated for all outputs at once.

The definition is in the docstring of hw/pe/bitmod_fp16.py; this is the same mathematics on arrays of integers, by
value: shifts are divisions, and nothing here knows registers or cycles. With int8 activations sim/golden/gemm.py
applies.
"""

import numpy as np
import numpy.typing as npt

from einloom.sim.golden import gemm
from einloom.spec.manifest import GemmManifest
from einloom.spec.quantized import QuantizedTensor

Integers = npt.NDArray[np.int64]

ALIGN_BITS, GUARD_BITS = 3, 6
EXPONENT_BIAS = 25 + ALIGN_BITS + GUARD_BITS


def golden_sums(
    manifest: GemmManifest, tensor: QuantizedTensor, activations: npt.NDArray[np.generic]
) -> tuple[Integers, Integers]:
    """GoldenSums (sim/golden/engines.py) of `bitmod`, with int8 or fp16 activations."""
    if manifest.activations == "fp16":
        return fp16_gemm(activations.astype(np.float16, copy=False), tensor, manifest.weights.lanes)
    return gemm.golden_sums(manifest, tensor, activations)


def fp16_gemm(activations: npt.NDArray[np.float16], weights: QuantizedTensor, lanes: int) -> tuple[Integers, Integers]:
    """(value, exponent) of every output, int64 [T, N] each; the sum is value * 2 ** (exponent - EXPONENT_BIAS).

    Parameters
    ----------
    activations : float16 [T, K], finite.
    weights : [N, K].
    lanes : activations that are aligned with each other before they are added.
    """
    significand, exponent = _split(activations)
    sign, shift, nonzero = _terms(weights)
    outputs, inputs = weights.shape
    shape = (len(activations), outputs)
    total, total_exponent = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for group in range(inputs // weights.group):
        group_sum, group_exponent = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for step in range(group * weights.group, (group + 1) * weights.group, lanes):
            k = slice(step, step + lanes)
            for t, bsig in enumerate(weights.format.bsig):
                dot, largest = _dot_product(
                    significand[:, None, k], exponent[:, None, k], sign[t, :, k], shift[t, :, k], nonzero[t, :, k]
                )
                after = np.maximum(group_exponent, largest)
                group_sum = _halve(group_sum, after - group_exponent) + _halve(
                    dot << bsig + GUARD_BITS, after - largest
                )
                group_exponent = after
        after = np.maximum(total_exponent, group_exponent)
        scaled = weights.scales[:, group].astype(np.int64) * _halve(group_sum, after - group_exponent)
        total, total_exponent = _halve(total, after - total_exponent) + scaled, after
    return total, total_exponent


def fp16_error_bound(
    activations: npt.NDArray[np.float16], weights: QuantizedTensor, lanes: int
) -> npt.NDArray[np.float64]:
    """A bound [T, N] on |value * 2 ** (exponent - bias) - exact sum|.

    E is the largest exponent that a term of the group reaches. Errors add up:

    * aligning: lanes / 2 units of 2^(E - 28) for each term's dot product, times 2^bsig;
    * the group's sum: two units of 2^(E - 34) for each term;
    * scaling: one such unit times the scale for the group, and one for the output, at the output's exponent.
    """
    _, exponent = _split(activations)
    _, shift, nonzero = _terms(weights)
    top = int(exponent.max()) + int((shift * nonzero).max())
    steps = weights.group // lanes
    fine = sum(lanes / 2 * 2.0 ** (bsig + GUARD_BITS) + 2 for bsig in weights.format.bsig)
    scales = weights.scales.astype(np.float64).sum(axis=1)
    units = (steps * fine + 1) * scales + weights.scales.shape[1]
    return np.broadcast_to(units * 2.0 ** (top - EXPONENT_BIAS), (len(activations), len(units)))


def _split(activations: npt.NDArray[np.float16]) -> tuple[Integers, Integers]:
    """Signed significand and exponent of each number: significand * 2 ** (exponent - 25)."""
    bits = activations.view(np.uint16).astype(np.int64)
    field = bits >> 10 & 31
    magnitude = (bits & 1023) + np.where(field > 0, 1024, 0)
    return np.where(bits >> 15, -magnitude, magnitude), np.maximum(field, 1)


def _terms(weights: QuantizedTensor) -> tuple[Integers, Integers, Integers]:
    """Sign (1 or -1), exponent and mantissa of each term of each weight, [term, N, K]."""
    values = weights.values()
    table = {int(value): weights.format.terms(int(value)) for value in np.unique(values)}
    terms = range(weights.format.terms_per_weight)

    def of(read: str) -> Integers:
        keys = np.array(sorted(table))
        columns = [[getattr(table[int(v)][t], read) for v in keys] for t in terms]
        return np.array(columns, np.int64)[:, np.searchsorted(keys, values)]

    return 1 - 2 * of("sign"), of("exp"), of("man")


def _dot_product(
    significand: Integers, exponent: Integers, sign: Integers, shift: Integers, nonzero: Integers
) -> tuple[Integers, Integers]:
    """The dot product of aligned lanes [T, N] and the exponent it is aligned to."""
    own = np.where(nonzero, exponent + shift, 0)
    largest = own.max(axis=-1)
    exact = np.abs(significand) * nonzero << ALIGN_BITS
    rounded = _round_to_even(exact, largest[..., None] - own)
    return (rounded * np.sign(significand) * sign).sum(axis=-1), largest


def _round_to_even(value: Integers, shift: Integers) -> Integers:
    """value / 2^shift to the nearest integer, ties to even, in float64: both are far below 2^53, so it is exact."""
    return np.rint(np.ldexp(value.astype(np.float64), -shift)).astype(np.int64)


def _halve(value: Integers, times: Integers) -> Integers:
    """floor(value / 2^times)."""
    return value >> np.minimum(times, 63)
