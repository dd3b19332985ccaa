"""Operands in the manner of Berkeley TestFloat, and what Berkeley SoftFloat makes of them.

Source: J. R. Hauser, TestFloat release 3e, test cases for binary32. Level 1: exponents at the ends and around 1 and
2^24 with both signs, each with significands at the ends; every pair of these, and random numbers of many kinds. Level
2, of which only a part is taken: the same exponents with significands of one bit, of all but one, and of runs.
SoftFloat release 3e, through `softfloatpy`, computes in IEEE 754; where the vector unit differs by its definition
(spec/isa.py) the operands and results are changed here: subnormals are zeros of their sign, a result that is tiny
before rounding is one too, and every NaN is 0x7fc00000.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import softfloatpy as softfloat

Bits = npt.NDArray[np.uint32]
FRACTION = 0x7FFFFF
SIGN = 0x80000000
NAN = 0x7FC00000
UNDERFLOW = softfloat.ExceptionFlag.UNDERFLOW
# Biased: subnormal, -126, -24, -2 to 2, 24, 127, and that of infinity and NaN.
OPERAND_EXPONENTS = (0, 1, 103, 125, 126, 127, 128, 129, 151, 254, 255)
RESULT_EXPONENTS = (*OPERAND_EXPONENTS, 2, 123, 124, 130, 131, 156, 157, 158, 159, 188, 189, 190, 191, 253)
ENDS = (0, 1, FRACTION, FRACTION - 1)


def numbers(exponents: tuple[int, ...], fractions: tuple[int, ...]) -> list[int]:
    return [sign | e << 23 | f for sign in (0, SIGN) for e in sorted(exponents) for f in fractions]


def fractions() -> tuple[int, ...]:
    """One bit, all but one bit, and runs of ones from either end."""
    ones = [1 << n for n in range(23)]
    runs = [FRACTION >> n for n in range(24)] + [FRACTION & ~(FRACTION >> n) for n in range(24)]
    return tuple(sorted({*ones, *(FRACTION ^ bit for bit in ones), *runs}))


def random_numbers(seed: int, count: int) -> Bits:
    """Exponents of the list or any, of several spreads; fractions that are sums of two of the list or any."""
    rng = np.random.default_rng(seed)
    few = np.array(fractions())
    listed = rng.choice(RESULT_EXPONENTS, count)
    near = np.clip(127 + (rng.normal(0, 1, count) * 2.0 ** rng.integers(0, 7, count)).astype(int), 0, 255)
    exponent = np.where(rng.random(count) < 0.5, listed, near)
    sums = (rng.choice(few, count) + rng.choice(few, count)) & FRACTION
    fraction = np.where(rng.random(count) < 0.75, sums, rng.integers(0, FRACTION + 1, count))
    return (rng.integers(0, 2, count) << 31 | exponent << 23 | fraction).astype(np.uint32)


def pairs(seed: int, random: int) -> tuple[Bits, Bits]:
    """Every pair of level 1, each of its numbers with random ones, and `random` pairs of random ones and of level 2."""
    special = np.array(numbers(OPERAND_EXPONENTS, ENDS), np.uint32)
    a, b = (grid.ravel() for grid in np.meshgrid(special, special, indexing="ij"))
    mixed = random_numbers(seed, len(special))
    first, second = np.split(random_numbers(seed + 1, 2 * random), 2)
    level_2 = np.random.default_rng(seed + 2).choice(numbers(OPERAND_EXPONENTS, fractions()), (2, random))
    third, fourth = level_2.astype(np.uint32)
    return np.concatenate([a, special, mixed, first, third]), np.concatenate([b, mixed, special, second, fourth])


def singles(seed: int, random: int) -> Bits:
    special = np.array(numbers(RESULT_EXPONENTS, fractions()), np.uint32)
    return np.concatenate([special, random_numbers(seed, random)])


def flushed(raw: int) -> int:
    return raw if raw >> 23 & 0xFF else raw & SIGN


def result_of(operation: Callable[..., object], *operands: int) -> int:
    """A float operation of SoftFloat on flushed operands, its result flushed."""
    softfloat.set_tininess_mode(softfloat.TininessMode.BEFORE_ROUNDING)
    softfloat.set_rounding_mode(softfloat.RoundingMode.NEAR_EVEN)
    softfloat.set_exception_flags(0)
    found = int.from_bytes(operation(*map(as_float, operands)).to_bytes(), "big")
    if softfloat.get_exception_flags() & UNDERFLOW:
        return found & SIGN
    is_nan = found & 0x7FFFFFFF > 0x7F800000
    return NAN if is_nan else flushed(found)


def as_float(raw: int) -> softfloat.Float32:
    return softfloat.Float32.from_bytes(flushed(raw).to_bytes(4, "big"))


def results(operation: Callable[..., object], *operands: Bits) -> list[int]:
    return [result_of(operation, *map(int, each)) for each in zip(*operands, strict=True)]


def integers(values: Bits, width: int) -> Iterator[int]:
    """To nearest even, saturated; NaN is 0."""
    low, high = -(1 << width - 1), (1 << width - 1) - 1
    for raw in map(int, values):
        if raw & 0x7FFFFFFF > 0x7F800000:
            yield 0
        elif raw >> 23 & 0xFF >= 127 + 40:
            yield low if raw & SIGN else high
        else:
            wide = softfloat.f32_to_i64(as_float(raw), softfloat.RoundingMode.NEAR_EVEN)
            yield min(max(int.from_bytes(wide.to_bytes(), "big", signed=True), low), high)
