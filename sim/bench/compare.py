"""Comparison bit for bit and cycle for cycle, with all that is needed to find the first difference again."""

import numpy as np
import numpy.typing as npt

from einloom.spec.errors import CheckFailed

Integers = npt.NDArray[np.int64]


def require_equal(
    expected: tuple[Integers, Integers], actual: tuple[Integers, Integers], *, what: str, cycle: int
) -> None:
    """CheckFailed with the first wrong element of (value, exponent) [T, N], if there is one."""
    wrong = (expected[0] != actual[0]) | (expected[1] != actual[1])
    if not wrong.any():
        return
    token, output = (int(i) for i in np.argwhere(wrong)[0])
    values = [
        f"{int(v[token, output])} * 2^{int(e[token, output])}" if e.any() else f"{int(v[token, output])}"
        for v, e in (expected, actual)
    ]
    raise CheckFailed(
        f"{what}: RTL is not golden at token {token}, output {output}: expected {values[0]}, got {values[1]} "
        f"({int(wrong.sum())} of {wrong.size} sums differ; batch ended at cycle {cycle})"
    )


def require_cycles(expected: int, actual: int, what: str) -> None:
    """CheckFailed unless a batch took as many cycles as it must."""
    if actual != expected:
        raise CheckFailed(f"{what}: took {actual} cycles, not {expected}")
