"""Powers of two by Horner's scheme, on a multiplier that has other work between its steps."""

from amaranth import Const, Mux

from einloom.spec.attention_format import (
    EXP2_COEFFICIENTS,
    EXPONENT_LIMIT,
    POWER_FRACTION,
    PROBABILITY_FRACTION,
    SCORE_FRACTION,
)

FRACTION_BITS = SCORE_FRACTION + 1  # as a signed operand
EXPONENT_BITS = EXPONENT_LIMIT.bit_length()
LEADING = EXP2_COEFFICIENTS[-1]  # where Horner's scheme starts


def split(difference):
    """(fraction, exponent) of `difference` <= 0, which is fraction - exponent with 0 <= fraction < 1.

    The exponent is clamped to EXPONENT_LIMIT; a shift by more gives 0 as well.
    """
    whole = -(difference >> SCORE_FRACTION)
    return difference[:SCORE_FRACTION], Mux(whole > EXPONENT_LIMIT, EXPONENT_LIMIT, whole[:EXPONENT_BITS])


def addend(step: int) -> int:
    """The addend of Horner's step before SCORE_FRACTION bits are dropped: a coefficient, and a half to round."""
    coefficient = EXP2_COEFFICIENTS[len(EXP2_COEFFICIENTS) - 2 - step]
    return (coefficient << SCORE_FRACTION) + (1 << (SCORE_FRACTION - 1))


def shifted(power, exponent):
    """power / 2^exponent with one more bit than PROBABILITY_FRACTION, cut off behind it."""
    drop = POWER_FRACTION - PROBABILITY_FRACTION
    return power.as_unsigned()[drop - 1 :] >> exponent


def rounded(power):
    """What `shifted` gives, rounded to PROBABILITY_FRACTION bits."""
    return (power + Const(1, 1)) >> 1


def scaled(power, exponent):
    """power / 2^exponent, rounded to PROBABILITY_FRACTION bits."""
    return rounded(shifted(power, exponent))
