"""Sums against Berkeley SoftFloat, on operands in the manner of Berkeley TestFloat."""

import pytest
import softfloatpy as softfloat

from einloom.hw.vector import float_adder
from einloom.hw.vector.float_adder import FloatAdder
from tests.hw.around import check_pipeline
from tests.hw.vector.berkeley import pairs, results


def check() -> None:
    a, b = pairs(seed=1, random=3000)
    check_pipeline(
        FloatAdder(), "sum", float_adder.LATENCY, results(softfloat.f32_add, a, b), x=a.tolist(), y=b.tolist()
    )


def test_sums_are_softfloats() -> None:
    check()


def test_a_lost_sticky_bit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float_adder, "shifted_right_sticky", lambda _m, value, amount, _name: value >> amount)
    with pytest.raises(AssertionError, match=r"sum\["):
        check()
