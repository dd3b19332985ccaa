"""Table look-up with rounded entries: the exact definition of its rounding.

With exact entries the sums are those of sim/golden/gemm.py. With int8 entries a table has an exponent e for each step
of the row's activations a, which are integers. e is the smallest with sum |a| < 2^(7 + e) over the table's own lanes;
where all tables of a step share e, that must hold for each of them. The table adds to a sum

    2^e * saturate(round(sum over its lanes k of digit[k] * a[k] / 2^e)),

rounded to the nearest integer, ties to even, saturated to -127 .. 127. A group's sum adds this up over its steps,
tables and planes, each plane times 2^(shift - 1). The sum may be no integer, because two digits of a ternary weight may
round differently; it is then rounded down. Nothing here knows halves of tables or remapped weights.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.spec.lookup import digits_of
from einloom.spec.quantized import QuantizedTensor

Integers = npt.NDArray[np.int64]
LARGEST_ENTRY = 127


@dataclass(frozen=True)
class Rounding:
    """Rounding of a table's entries.

    Attributes
    ----------
    tables : lanes of each table of a step.
    per_table : each table has an exponent of its own.
    """

    tables: tuple[int, ...]
    per_table: bool = False

    @property
    def lanes(self) -> int:
        """Lanes of a step."""
        return sum(self.tables)

    def exponents(self, activations: Integers) -> Integers:
        """e of each table [T, steps, tables] of the activations [T, K]."""
        magnitudes = np.abs(self._steps(activations))
        sums = np.stack([magnitudes[..., lanes].sum(axis=-1) for lanes in self._table_lanes], axis=-1)
        if not self.per_table:
            sums = np.broadcast_to(sums.max(axis=-1, keepdims=True), sums.shape)
        bits = np.frexp(sums)[1].astype(np.int64)  # the fewest with sum < 2^bits
        exponent: Integers = np.maximum(bits - 7, 0)
        return exponent

    def doubled_sums(self, activations: Integers, digits: Integers, planes: tuple[int, ...]) -> Integers:
        """Twice what each step adds to the sums: int64 [T, N, steps] of activations [T, K] and digits [plane, N, K]."""
        exponents = self.exponents(activations)
        doubled = np.zeros((len(activations), digits.shape[1], exponents.shape[1]), np.int64)
        a, d = self._steps(activations), self._steps(digits)
        for n, lanes in enumerate(self._table_lanes):
            unit = 2.0 ** exponents[:, None, :, n]
            for shift, plane in zip(planes, d, strict=True):
                exact = np.einsum("tsk,nsk->tns", a[..., lanes], plane[..., lanes])
                rounded = np.clip(np.rint(exact / unit), -LARGEST_ENTRY, LARGEST_ENTRY) * unit
                doubled += rounded.astype(np.int64) << shift
        return doubled

    def step_bounds(self, activations: Integers, planes: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Bounds [T, steps] on the error of what a step adds.

        Rounding puts a table off by at most half a unit 2^e; saturation (127.5 and more) by at most one. With e = 0
        there is no error, because int8 holds all numbers below 2^7.
        """
        exponents = self.exponents(activations)
        units: npt.NDArray[np.float64] = np.where(exponents > 0, 2.0**exponents, 0).sum(axis=-1)
        return units * sum(2.0 ** (shift - 1) for shift in planes)

    def _steps(self, values: Integers) -> Integers:
        """[..., K] as [..., steps, lanes]."""
        return values.reshape(*values.shape[:-1], -1, self.lanes)

    @property
    def _table_lanes(self) -> list[slice]:
        """The lanes of each table."""
        ends = np.cumsum(self.tables)
        return [slice(int(end) - size, int(end)) for end, size in zip(ends, self.tables, strict=True)]


def rounded_gemm(
    activations: npt.NDArray[np.int8], weights: QuantizedTensor, rounding: Rounding
) -> npt.NDArray[np.int64]:
    """sums[t, n] = sum over groups of scales[n, group] * (the group's sum), int64 [T, N].

    Parameters
    ----------
    activations : int8 [T, K].
    weights : [N, K], of a format without a zero point.
    rounding : rounding of the tables' entries.
    """
    sums = np.zeros((len(activations), weights.shape[0]), np.int64)
    for group, (k, digits) in enumerate(groups_of(weights)):
        doubled = rounding.doubled_sums(activations[:, k].astype(np.int64), digits, weights.format.planes)
        sums += weights.scales[:, group].astype(np.int64) * (doubled.sum(axis=-1) >> 1)
    return sums


def rounding_bound(
    activations: npt.NDArray[np.int8], weights: QuantizedTensor, rounding: Rounding
) -> npt.NDArray[np.float64]:
    """A bound [T, N] on |rounded_gemm - exact sum|: the sum of the steps' bounds, and one half for each group."""
    bound = np.zeros((len(activations), weights.shape[0]))
    for group, (k, _) in enumerate(groups_of(weights)):
        steps = rounding.step_bounds(activations[:, k].astype(np.int64), weights.format.planes)
        bound += (steps.sum(axis=-1)[:, None] + 0.5) * weights.scales[:, group]
    return bound


def groups_of(weights: QuantizedTensor) -> list[tuple[slice, Integers]]:
    """The inputs of each group, and its digits -1 and +1 [plane, N, group]."""
    if weights.format.zero:
        raise ValueError(f"{weights.format.name} has a zero point, which rounded entries don't go with")
    digits = 2 * np.moveaxis(digits_of(weights.codes, weights.format), -1, 0).astype(np.int64) - 1
    parts = (slice(start, start + weights.group) for start in range(0, weights.shape[1], weights.group))
    return [(k, digits[..., k]) for k in parts]
