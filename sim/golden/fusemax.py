"""What the FuseMax engine computes, from the definition of its arithmetic (einloom/attention.py)."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from einloom.attention import (
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
    """What is left of a set of keys: (RM, RNV, RD) of P queries.

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
        """Of no keys."""
        zeros = np.zeros((head, queries), np.int64)
        return cls(np.full(queries, MASKED, np.int64), zeros, zeros[0].copy())

    def corrected(self, maximum: Integers) -> "State":
        """The same relative to a larger maximum."""
        factor = exp2(self.maximum - maximum)
        return State(maximum, _scaled(self.values, factor), _scaled(self.denominator, factor))

    def extended(
        self,
        format: AttentionFormat,
        maximum: Integers,
        scores: Integers,
        visible: npt.NDArray[np.bool_],
        values: Integers,
    ) -> "State":
        """Relative to `maximum`, and with the keys of a tile: scores and visibility [M, P], values [M, F]."""
        state = self.corrected(maximum)
        probability = np.where(visible, exp2(np.where(visible, scores, MASKED) - maximum), 0)
        sums = np.rint(values.T.astype(np.float64) @ probability.astype(np.float64)).astype(np.int64)
        return State(
            maximum,
            state.values + _round(sums, format.value_drop),
            state.denominator + _round(probability.sum(axis=0) * format.unit, format.value_drop),
        )

    def merged(self, other: "State") -> "State":
        """Of the keys of both. Associative but for the rounding (LeanAttention), so the spans of a long sequence can be
        computed anywhere; 0.5 in the last place per merge and state, and exact where the maxima are equal."""
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
) -> State:
    """The state of queries [P, E] after keys [M, E] with values [M, F], in tiles of `rows` keys.

    This is the 1-pass cascade; a tile without a visible key leaves the state as it is. With `spans` the tiles are dealt
    out to as many states. Their last tiles are taken relative to the maximum of all, so merging them is exact.
    """
    x = scores(format, queries, scales, keys)
    visible = mask.visible(positions)
    states = [State.empty(values.shape[1], len(queries))] * spans
    last = mask.tiles(positions, rows * spans)[-1]
    for step in range(last + 1):
        tiles = [slice((step * spans + s) * rows, (step * spans + s + 1) * rows) for s in range(spans)]
        if step < last and not any(visible[tile].any() for tile in tiles):
            continue
        maxima = [
            np.maximum(state.maximum, np.where(visible[tile], x[tile], MASKED).max(axis=0, initial=MASKED))
            for tile, state in zip(tiles, states, strict=True)
        ]
        if step == last:
            maxima = [np.max(maxima, axis=0)] * spans
        states = [
            state.extended(format, maximum, x[tile], visible[tile], values[tile])
            for state, maximum, tile in zip(states, maxima, tiles, strict=True)
        ]
    return reduce(State.merged, states)


def _round(value: Integers, drop: int) -> Integers:
    """value / 2^drop, rounded half up."""
    return (value + ((1 << drop) >> 1)) >> drop


def _scaled(value: Integers, factor: Integers) -> Integers:
    """value * factor / 2^PROBABILITY_FRACTION, rounded half up; in two parts, so that int64 holds the products."""
    high, low = value >> PROBABILITY_FRACTION, value & ((1 << PROBABILITY_FRACTION) - 1)
    return high * factor + _round(low * factor, PROBABILITY_FRACTION)
