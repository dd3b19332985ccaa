"""Products against Berkeley SoftFloat, on operands in the manner of Berkeley TestFloat."""

import pytest
import softfloatpy as softfloat

from einloom.hw.vector import float_multiplier
from einloom.hw.vector.float_multiplier import FloatMultiplier
from tests.hw.around import check_pipeline
from tests.hw.vector.berkeley import NAN, SIGN, pairs, results

NEGATE_AT = 2


def check() -> None:
    a, b = pairs(seed=2, random=3000)
    products = results(softfloat.f32_mul, a, b)
    negated = [n % 3 == 0 for n in range(len(a))]
    expected = [p ^ SIGN if n and p != NAN else p for p, n in zip(products, negated, strict=True)]
    late = {"negate": (NEGATE_AT, [int(n) for n in negated])}
    check_pipeline(
        FloatMultiplier(), "product", float_multiplier.LATENCY, expected, late=late, x=a.tolist(), y=b.tolist()
    )


def test_products_are_softfloats() -> None:
    check()


def test_ties_away_from_zero_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float_multiplier, "rounds_up", lambda _, below: below[-1])
    with pytest.raises(AssertionError, match=r"product\["):
        check()
