"""Golden model of the FuseMax engine, from the definition of its arithmetic (spec/attention_format.py)."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from einloom.spec.attention_format import (
    EXP2_COEFFICIENTS,
    EXPONENT_LIMIT,
    MASKED,
    OUTPUT_BITS,
    POWER_FRACTION,
    PROBABILITY_FRACTION,
    SCALE_SHIFT,
    SCORE_FRACTION,
    SCORE_LIMIT,
    AttentionFormat,
    Mask,
)

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class State:
    """Running state after a set of keys: (RM, RNV, RD) of P queries.

    Attributes
    ----------
    maximum : [P]
    values : RNV, [F, P], relative to the maximum
    denominator : RD, [P]
    """

    maximum: Integers
    values: Integers
    denominator: Integers

    @classmethod
    def empty(cls, head: int, queries: int) -> "State":
        """State before any key."""
        zeros = np.zeros((head, queries), np.int64)
        return cls(np.full(queries, MASKED, np.int64), zeros, zeros[0].copy())

    def corrected(self, maximum: Integers) -> "State":
        """The same state, relative to a larger maximum."""
        factor = exp2(self.maximum - maximum)
        return State(maximum, _scaled(self.values, factor), _scaled(self.denominator, factor))

    def merged(self, other: "State") -> "State":
        """State of the keys of both.

        Merging is associative but for the rounding (LeanAttention), so the spans of a long sequence can be computed
        anywhere. The error is 0.5 in the last place per merge and state; a merge is exact where the maxima are equal.
        """
        maximum = np.maximum(self.maximum, other.maximum)
        a, b = self.corrected(maximum), other.corrected(maximum)
        return State(maximum, a.values + b.values, a.denominator + b.denominator)

    def outputs(self) -> Integers:
        """RNV / RD in units of V / 2^output_fraction, [F, P], rounded half away from zero; 0 where no key was seen."""
        seen = self.denominator > 0
        divisor = np.where(seen, self.denominator, 1)
        high, rest = np.divmod(np.abs(self.values) << 11, divisor)  # in two steps, so that int64 holds everything
        quotient = (high << (OUTPUT_BITS - 1 - 11)) + (rest << (OUTPUT_BITS - 1 - 11)) // divisor
        magnitude = np.minimum((quotient + 1) >> 1, (1 << (OUTPUT_BITS - 1)) - 1)
        return np.where(seen, np.sign(self.values) * magnitude, 0)


def exp2(difference: Integers) -> Integers:
    """2^difference for difference <= 0: from SCORE_FRACTION to PROBABILITY_FRACTION bits, relative error 4e-6 and half
    a unit in the last place."""
    whole = -(difference >> SCORE_FRACTION)
    fraction = difference & ((1 << SCORE_FRACTION) - 1)
    power = np.full_like(difference, EXP2_COEFFICIENTS[-1])
    for coefficient in EXP2_COEFFICIENTS[-2::-1]:
        power = _round(power * fraction, SCORE_FRACTION) + coefficient
    drop = np.minimum(whole, EXPONENT_LIMIT) + POWER_FRACTION - PROBABILITY_FRACTION
    rounded: Integers = (power + (np.int64(1) << (drop - 1))) >> drop
    return rounded


def scores(format: AttentionFormat, queries: Integers, scales: Integers, keys: Integers) -> Integers:
    """x [M, P] of queries [P, E] with their scales [P], and keys [M, E]."""
    # All sums are below 2^53, so a float64 product is exact.
    qk = np.rint(keys.astype(np.float64) @ queries.T.astype(np.float64)).astype(np.int64)
    scaled = _round(_round(qk, format.qk_drop) * scales.astype(np.int64), SCALE_SHIFT)
    return np.clip(scaled, -SCORE_LIMIT, SCORE_LIMIT)


def attend(
    format: AttentionFormat,
    rows: int,
    queries: Integers,
    scales: Integers,
    positions: Integers,
    keys: Integers,
    values: Integers,
    mask: Mask,
    spans: int = 1,
    for_sinks: tuple[Integers, Integers] | None = None,
) -> State:
    """The state of queries [P, E] after keys [M, E] with values [M, F], in tiles of `rows` keys.

    This is the 1-pass cascade; a tile without a visible key leaves the state as it is. With `spans` the tiles are dealt
    out to `spans` states. Each state's last tile is taken relative to the maximum of all, so merging them is exact.
    Tiles of sinks are seen by the queries and scales `for_sinks`, if there are some.

    Only the corrections of the states are computed tile by tile; the maxima, exponentials and sums of all tiles are
    computed at once. Letters of shapes: T steps of S tiles, of R keys each.
    """
    steps = mask.tiles(positions, rows * spans)[-1] + 1

    def tiled(of_keys: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """[M, ...] as [T, S, R, ...], zeros behind the last key; no tile is visited behind the last position."""
        size = steps * spans * rows
        padded = np.zeros((size, *of_keys.shape[1:]), of_keys.dtype)
        padded[: min(size, len(of_keys))] = of_keys[:size]
        return padded.reshape(steps, spans, rows, *of_keys.shape[1:])

    visible = tiled(mask.visible(positions))
    found = scores(format, queries, scales, keys)
    if for_sinks is not None:
        ends = -(-mask.sinks // rows) * rows
        found[:ends] = scores(format, *for_sinks, keys[:ends])
    x = np.where(visible, tiled(found), MASKED)
    maxima = np.maximum.accumulate(x.max(axis=2), axis=0)
    maxima[-1] = maxima[-1].max(axis=0)
    before = np.concatenate([np.full_like(maxima[:1], MASKED), maxima[:-1]])
    corrections = exp2(before - maxima)
    probability = np.where(visible, exp2(x - maxima[:, :, None]), 0)
    mixed = tiled(values).swapaxes(2, 3).astype(np.float64) @ probability.astype(np.float64)
    sums = _round(np.rint(mixed).astype(np.int64), format.value_drop)
    seen = _round(probability.sum(axis=2) * format.unit, format.value_drop)
    state, denominator = np.zeros_like(sums[0]), np.zeros_like(seen[0])
    for step in range(steps):
        state = _scaled(state, corrections[step][:, None]) + sums[step]
        denominator = _scaled(denominator, corrections[step]) + seen[step]
    return reduce(State.merged, (State(maxima[-1, s], state[s], denominator[s]) for s in range(spans)))


def _round(value: Integers, drop: int) -> Integers:
    """value / 2^drop, rounded half up."""
    return (value + ((1 << drop) >> 1)) >> drop


def _scaled(value: Integers, factor: Integers) -> Integers:
    """value * factor / 2^PROBABILITY_FRACTION, rounded half up; in two parts, so that int64 holds the products."""
    high, low = value >> PROBABILITY_FRACTION, value & ((1 << PROBABILITY_FRACTION) - 1)
    return high * factor + _round(low * factor, PROBABILITY_FRACTION)
