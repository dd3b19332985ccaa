"""Conversions against Berkeley SoftFloat, on numbers in the manner of Berkeley TestFloat."""

import random

import pytest
import softfloatpy as softfloat

from einloom.hw.vector import float_convert
from einloom.hw.vector.float_convert import TO_FLOAT_LATENCY, TO_INTEGER_LATENCY, FloatToInteger, IntegerToFloat
from tests.hw.around import check_pipeline
from tests.hw.vector.berkeley import integers, singles

WIDTHS = (8, 16, 32)


def check_to_integers() -> None:
    values = singles(seed=3, random=3000)
    select = [n % len(WIDTHS) for n in range(len(values))]
    by_width = {index: list(integers(values, width)) for index, width in enumerate(WIDTHS)}
    expected = [by_width[chosen][n] for n, chosen in enumerate(select)]
    check_pipeline(
        FloatToInteger(WIDTHS),
        "result",
        TO_INTEGER_LATENCY,
        expected,
        late={"select": (1, select)},
        value=values.tolist(),
    )


def test_floats_become_softfloats_integers_saturated() -> None:
    check_to_integers()


def test_rounding_down_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float_convert, "rounds_up", lambda _, below: below[0] & 0)
    with pytest.raises(AssertionError, match=r"result\["):
        check_to_integers()


def corners(bits: int) -> list[int]:
    """Powers of two and their neighbours, of both signs, the extremes, and random numbers of all lengths."""
    rng = random.Random(bits)
    powers = [sign * ((1 << n) + d) for n in range(bits) for d in (-2, -1, 0, 1, 2) for sign in (1, -1)]
    ties = [sign * ((1 << n) + (1 << n - 24) + d) for n in range(24, bits) for d in (-1, 0, 1) for sign in (1, -1)]
    anything = [rng.getrandbits(rng.randint(1, bits)) - rng.getrandbits(rng.randint(1, bits)) for _ in range(1000)]
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return [low, high, *(n for n in (*powers, *ties, *anything) if low <= n <= high)]


@pytest.mark.parametrize("bits", [8, 26, 32, 48, 64])
def test_integers_become_the_nearest_floats(bits: int) -> None:
    values = corners(bits)
    exact = [softfloat.Int64.from_bytes(n.to_bytes(8, "big", signed=True)) for n in values]
    softfloat.set_rounding_mode(softfloat.RoundingMode.NEAR_EVEN)
    expected = [int.from_bytes(softfloat.i64_to_f32(n).to_bytes(), "big") for n in exact]
    check_pipeline(IntegerToFloat(bits), "result", TO_FLOAT_LATENCY, expected, value=values)
