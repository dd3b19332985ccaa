"""Bit patterns that float32 units must get right."""

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint32]
SIGN = np.uint32(0x80000000)
EXPONENT = np.uint32(0x7F800000)
POSITIVE = (
    0x00000000,
    0x00000001,  # subnormals, the smallest and the largest
    0x00400000,
    0x007FFFFF,
    0x00800000,  # the smallest normal numbers
    0x00800001,
    0x00FFFFFF,
    0x01000000,
    0x1F800000,
    0x20000000,
    0x34000000,  # half the distance from 1 to its neighbours
    0x33800000,
    0x3EFFFFFF,
    0x3F000000,
    0x3F000001,
    0x3F7FFFFF,
    0x3F800000,
    0x3F800001,
    0x3FC00000,
    0x3FFFFFFF,
    0x40200000,  # 2.5
    0x42FF0000,  # 127.5
    0x46FFFF00,  # 32767.5
    0x4B000000,
    0x4B7FFFFF,
    0x4B800000,
    0x4EFFFFFF,
    0x4F000000,  # 2^31
    0x5F000000,
    0x7F000000,
    0x7F7FFFFE,
    0x7F7FFFFF,
    0x7F800000,  # infinity
    0x7F800001,  # a signalling NaN
    0x7FC00000,
    0x7FFFFFFF,
)


def corners() -> Bits:
    positive = np.array(POSITIVE, np.uint32)
    return np.concatenate([positive, positive | SIGN])


def corner_pairs() -> tuple[Bits, Bits]:
    a, b = np.meshgrid(corners(), corners())
    return a.ravel(), b.ravel()


def random_pairs(rng: np.random.Generator, count: int) -> tuple[Bits, Bits]:
    """`count` pairs: any bits, exponents that nearly agree, few significant bits, and products near the smallest
    normal number and near overflow."""
    a, b = rng.integers(0, 1 << 32, (2, count), dtype=np.uint32)
    kind = np.arange(count) % 5
    near = (a & EXPONENT) + (rng.integers(-2, 3, count) << 23).astype(np.uint32) ^ (b & ~EXPONENT)
    b = np.where(kind == 1, near, b)
    few = np.uint32(0xFFFFFFFF) << rng.integers(8, 24, (2, count), dtype=np.uint32)
    a, b = np.where(kind == 2, a & few[0], a), np.where(kind == 2, b & few[1], b)
    for number, total in ((3, 127), (4, 381)):  # of the biased exponents, which a product of 2^-126 or 2^127 has
        first = rng.integers(max(1, total - 254), min(254, total), count)
        second = np.clip(total - first + rng.integers(-2, 3, count), 0, 254)
        a = np.where(kind == number, a & ~EXPONENT | (first << 23).astype(np.uint32), a)
        b = np.where(kind == number, b & ~EXPONENT | (second << 23).astype(np.uint32), b)
    return a, b


def random_numbers(rng: np.random.Generator, count: int) -> Bits:
    """`count` floats of which many have a fraction when they become integers, some a half."""
    a = rng.integers(0, 1 << 32, count, dtype=np.uint32)
    exponent = rng.integers(120, 162, count, dtype=np.uint32) << np.uint32(23)
    few = np.uint32(0xFFFFFFFF) << rng.integers(8, 24, count, dtype=np.uint32)
    kind = np.arange(count) % 3
    return np.where(kind == 0, a, np.where(kind == 1, a & ~EXPONENT | exponent, (a & ~EXPONENT | exponent) & few))


def near_negative(rng: np.random.Generator, a: Bits) -> Bits:
    """-a with up to eight of the low bits changed at random, so that sums with `a` cancel."""
    return a ^ SIGN ^ (rng.integers(0, 256, a.shape, dtype=np.uint32) & rng.integers(0, 256, a.shape, dtype=np.uint32))
