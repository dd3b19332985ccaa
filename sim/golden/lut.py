"""Table look-up with rounded entries: the exact definition of its rounding.

With exact entries the sums are those of sim/golden/gemm.py. With int8 entries a step of the row's activations has an
exponent e, the smallest with sum |a| < 2^(7 + e) over the lanes of each of its tables, and a table adds to a sum

    2^e * saturate(round(sum over its lanes k of digit[k] * a[k] / 2^e)),

rounded to the nearest integer, ties to even, saturated to -127 .. 127. A group's sum is the sum of that over its steps,
tables and planes, times 2^(shift - 1) of the plane, rounded down if it is not an integer (two digits of a ternary
weight may round differently). Nothing here knows halves of tables or remapped weights.
"""

import numpy as np
import numpy.typing as npt

from einloom.lookup import digits_of
from einloom.quantized import QuantizedTensor

Integers = npt.NDArray[np.int64]
LARGEST_ENTRY = 127


def rounded_gemm(
    activations: npt.NDArray[np.int8], weights: QuantizedTensor, tables: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """sums[t, n] = sum over groups of scales[n, group] * (the group's sum), int64 [T, N].

    Parameters
    ----------
    activations : int8 [T, K].
    weights : [N, K], of a format without a zero point.
    tables : lanes of each table of a step.
    """
    sums = np.zeros((len(activations), weights.shape[0]), np.int64)
    for group, (a, digits) in enumerate(_groups(activations, weights)):
        units = 2.0 ** exponents(a, tables)
        doubled = np.zeros_like(sums)
        for lanes in _lanes(tables):
            for shift, plane in zip(weights.format.planes, digits, strict=True):
                exact = np.einsum("tsk,nsk->tns", _steps(a, tables)[..., lanes], _steps(plane, tables)[..., lanes])
                rounded = np.clip(np.rint(exact / units[:, None]), -LARGEST_ENTRY, LARGEST_ENTRY) * units[:, None]
                doubled += rounded.sum(axis=-1).astype(np.int64) << shift
        sums += weights.scales[:, group].astype(np.int64) * (doubled >> 1)
    return sums


def rounding_bound(
    activations: npt.NDArray[np.int8], weights: QuantizedTensor, tables: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """A bound [T, N] on |rounded_gemm - exact sum|.

    A table is off by at most half a unit 2^e from rounding, by one where it saturates (127.5 and more), and by nothing
    with e = 0, as int8 holds what is below 2^7; a group by half for its own rounding.
    """
    bound = np.zeros((len(activations), weights.shape[0]))
    per_table = sum(2.0 ** (shift - 1) for shift in weights.format.planes)
    for group, (a, _) in enumerate(_groups(activations, weights)):
        exponent = exponents(a, tables)
        units = np.where(exponent > 0, 2.0**exponent, 0).sum(axis=-1) * len(tables) * per_table
        bound += (units[:, None] + 0.5) * weights.scales[:, group]
    return bound


def exponents(activations: Integers, tables: tuple[int, ...]) -> Integers:
    """e of each step [T, steps] of the activations [T, K]."""
    magnitudes = np.abs(_steps(activations, tables))
    largest = np.max([magnitudes[..., lanes].sum(axis=-1) for lanes in _lanes(tables)], axis=0)
    bits = np.frexp(largest)[1].astype(np.int64)  # the fewest with largest < 2^bits
    exponent: Integers = np.maximum(bits - 7, 0)
    return exponent


def _groups(activations: npt.NDArray[np.int8], weights: QuantizedTensor) -> list[tuple[Integers, Integers]]:
    """Activations [T, group] and digits -1 and +1 [plane, N, group] of each group."""
    if weights.format.zero:
        raise ValueError(f"{weights.format.name} has a zero point, which rounded entries don't go with")
    digits = 2 * np.moveaxis(digits_of(weights.codes, weights.format), -1, 0).astype(np.int64) - 1
    parts = (slice(start, start + weights.group) for start in range(0, weights.shape[1], weights.group))
    return [(activations[:, k].astype(np.int64), digits[..., k]) for k in parts]


def _steps(values: Integers, tables: tuple[int, ...]) -> Integers:
    """[..., K] as [..., steps, lanes]."""
    return values.reshape(*values.shape[:-1], -1, sum(tables))


def _lanes(tables: tuple[int, ...]) -> list[slice]:
    """The lanes of each table."""
    ends = np.cumsum(tables)
    return [slice(int(end) - size, int(end)) for end, size in zip(ends, tables, strict=True)]
