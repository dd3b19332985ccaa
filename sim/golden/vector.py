"""What the vector unit computes on its lanes (einloom/isa.py, VectorOp), in NumPy float32.

All functions take and give uint32 arrays: the bits of floats or of integers, as the vector memory holds them.
"""

import numpy as np
import numpy.typing as npt

from einloom.isa import REDUCE_PARTIALS, VectorOp

Bits = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]
SMALLEST = np.finfo(np.float32).tiny
NAN = np.uint32(0x7FC00000)
SIGN = np.uint32(0x80000000)


def flushed(x: Floats) -> Floats:
    """`x` with subnormals as zeros of their sign."""
    small = np.abs(x) < SMALLEST
    if small.any():
        return np.where(small, np.copysign(np.float32(0), x), x)
    return x


def multiply(a: Floats, b: Floats) -> Floats:
    """a * b rounded to nearest even; zero of its sign when the exact product is below the smallest normal number."""
    a, b = flushed(a), flushed(b)
    with np.errstate(all="ignore"):
        product: Floats = a * b
        # A product just below the smallest normal number rounds to it in NumPy, but is subnormal before rounding.
        if (np.abs(product) == SMALLEST).any():
            exact = np.abs(a.astype(np.float64) * b)
            product = np.where(exact < float(SMALLEST), np.copysign(np.float32(0), product), product)
    return flushed(product)


def add(a: Floats, b: Floats) -> Floats:
    """a + b rounded to nearest even, subnormal sums flushed."""
    with np.errstate(all="ignore"):
        total: Floats = flushed(a) + flushed(b)
    return flushed(total)


def bits(x: Floats) -> Bits:
    """The bits of `x`, NaN in its one form."""
    raw = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nan = np.isnan(x)
    return np.where(nan, NAN, raw) if nan.any() else raw


def floats(raw: Bits) -> Floats:
    """The floats of the bits `raw`."""
    return np.ascontiguousarray(raw).view(np.float32)


def to_integer(x: Floats, width: int = 32) -> npt.NDArray[np.int32]:
    """To nearest even, saturated to `width` bits; NaN is 0."""
    limit = 2.0 ** (width - 1)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        rounded = np.clip(np.rint(np.nan_to_num(flushed(x).astype(np.float64), nan=0.0)), -limit, limit - 1)
    return rounded.astype(np.int64).astype(np.int32)


def elementwise(op: VectorOp, a: Bits, x: Bits | None, y: Bits | None, *, negate: bool = False) -> Bits:
    """op(a, x, y) on arrays of one shape (or that broadcast); x and y are None where the instruction has none.

    Where an operation other than MAD needs an x and has none, x is a.
    """
    if op == VectorOp.MAD:
        return _mad(a, x, y, negate)
    other = a if x is None else x
    if op in (VectorOp.MAX, VectorOp.MIN):
        return _extreme(a, other, largest=op == VectorOp.MAX)
    integers = a.view(np.int32)
    match op:
        case VectorOp.IADD:
            return a + other
        case VectorOp.ISUB:
            return other - a
        case VectorOp.SHL:
            return a << (other & np.uint32(31))
        case VectorOp.SHR:
            return (integers >> (other & np.uint32(31)).astype(np.int32)).view(np.uint32)
        case VectorOp.TOINT:
            return to_integer(floats(a)).view(np.uint32)
        case VectorOp.TOFLOAT:
            return bits(integers.astype(np.float32))
    raise ValueError(f"{op.name} is not elementwise")


def _mad(a: Bits, x: Bits | None, y: Bits | None, negate: bool) -> Bits:
    product = flushed(floats(a)) if x is None else multiply(floats(a), floats(x))
    if negate:
        product = -product
    return bits(product if y is None else add(product, floats(y)))


def _extreme(a: Bits, x: Bits, *, largest: bool) -> Bits:
    """By the order of float32 with -0 below +0."""
    first, second = bits(flushed(floats(a))), bits(flushed(floats(x)))
    larger = _ordered(first) > _ordered(second)
    chosen = np.where(larger == largest, first, second)
    return np.where(np.isnan(floats(first)) | np.isnan(floats(second)), NAN, chosen)


def _ordered(raw: Bits) -> npt.NDArray[np.int64]:
    """Integers in the order of the floats."""
    magnitude = (raw & ~SIGN).astype(np.int64)
    return np.where(raw & SIGN, -1 - magnitude, magnitude)


def reduce(op: VectorOp, a: Bits, x: Bits | None, *, negate: bool = False) -> Bits:
    """SUM or MAXABS of [..., words, lanes] over words and lanes, [...].

    A lane adds word i to its partial sum i mod REDUCE_PARTIALS, from +0 on; then the upper half of the partial sums is
    added to the lower half until one is left, and then likewise the lanes.
    """
    if op == VectorOp.MAXABS:
        magnitude = bits(flushed(floats(a))) & ~SIGN
        largest: Bits = magnitude.max(axis=(-2, -1))
        return np.where(largest > np.uint32(0x7F800000), NAN, largest)
    products = floats(_mad(a, x, None, negate))
    words = products.shape[-2]
    partial = np.zeros((*products.shape[:-2], REDUCE_PARTIALS, products.shape[-1]), np.float32)
    for start in range(0, words, REDUCE_PARTIALS):
        piece = products[..., start : start + REDUCE_PARTIALS, :]
        partial[..., : piece.shape[-2], :] = add(partial[..., : piece.shape[-2], :], piece)
    return bits(_halved(_halved(partial.swapaxes(-1, -2))))


def _halved(x: Floats) -> Floats:
    """The sum over the last axis, a power of two long, its upper half onto its lower until one is left."""
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        x = add(x[..., :half], x[..., half:])
    return x[..., 0]
