"""Arithmetic of the vector unit's lanes (spec/isa.py, VectorOp), in NumPy float32.

All functions take and give uint32 arrays: the bits of floats or of integers, as the vector memory holds them.
"""

import numpy as np
import numpy.typing as npt

from einloom.spec.isa import REDUCE_PARTIALS, VectorOp

Bits = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]
SMALLEST = np.finfo(np.float32).tiny
NAN = np.uint32(0x7FC00000)
SIGN = np.uint32(0x80000000)
INFINITY = np.uint32(0x7F800000)
SMALLEST_BITS = np.uint32(0x00800000)
Scratch = tuple[Floats, npt.NDArray[np.int32]]
"""Operands and results of an operation, and as many integers."""
EXPONENT_STEP = np.uint32(1 << 24)
"""Distance from one power of two to the next, in the bits of floats without their sign."""


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
    """Integers of `x`: to nearest even, saturated to `width` bits; NaN is 0."""
    limit = 2.0 ** (width - 1)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        rounded = np.rint(x.astype(np.float64))
        nan = np.isnan(rounded)
        if nan.any():
            rounded[nan] = 0
    return np.minimum(np.maximum(rounded, -limit), limit - 1).astype(np.int32)


@np.errstate(all="ignore")
def elementwise(op: VectorOp, a: Bits, x: Bits | None, y: Bits | None, *, negate: bool = False) -> Bits:
    """op(a, x, y) on arrays of one shape (or that broadcast); x and y are None where the instruction has none.

    Where an operation other than MAD needs an x and has none, x is a.
    """
    return unguarded_elementwise(op, a, x, y, negate=negate)


@np.errstate(all="ignore")
def reduce(op: VectorOp, a: Bits, x: Bits | None, *, negate: bool = False) -> Bits:
    """SUM or MAXABS of [..., words, lanes] over words and lanes, [...].

    A lane adds word i to its partial sum i mod REDUCE_PARTIALS, from +0 on; then the upper half of the partial sums is
    added to the lower half until one is left, and then likewise the lanes.
    """
    return unguarded_reduce(op, a, x, negate=negate)


def unguarded_elementwise(op: VectorOp, a: Bits, x: Bits | None, y: Bits | None, *, negate: bool = False) -> Bits:
    """As `elementwise`, for callers that have turned off NumPy's warnings for many."""
    if op == VectorOp.MAD:
        return _mad(a, x, y, negate)
    other = a if x is None else x
    if op in (VectorOp.MAX, VectorOp.MIN):
        return _extreme(a, other, largest=op == VectorOp.MAX)
    match op:
        case VectorOp.IADD:
            return a + other
        case VectorOp.ISUB:
            return other - a
        case VectorOp.SHL:
            return a << (other & np.uint32(31))
        case VectorOp.SHR:
            return (a.view(np.int32) >> (other & np.uint32(31)).astype(np.int32)).view(np.uint32)
        case VectorOp.TOINT:
            return to_integer(a.view(np.float32)).view(np.uint32)
        case VectorOp.TOFLOAT:
            return bits(a.view(np.int32).astype(np.float32))
    raise ValueError(f"{op.name} is not elementwise")


def unguarded_reduce(op: VectorOp, a: Bits, x: Bits | None, *, negate: bool = False) -> Bits:
    """As `reduce`, for callers that have turned off NumPy's warnings for many."""
    if op == VectorOp.MAXABS:
        largest: Bits = (a & ~SIGN).max(axis=(-2, -1))
        return np.where(largest > INFINITY, NAN, np.where(largest < SMALLEST_BITS, np.uint32(0), largest))
    products = floats(_mad(a, x, None, negate))
    *outside, words, lanes = products.shape
    rounds = -(-words // REDUCE_PARTIALS)
    # Behind the last word come zeros, which change no sum: none is -0, because they start at +0.
    padded = np.zeros((*outside, rounds * REDUCE_PARTIALS, lanes), np.float32)
    padded[..., :words, :] = products
    return _sum(padded.reshape(*outside, rounds, REDUCE_PARTIALS * lanes))


# NumPy's float32 is the arithmetic of the lanes, but for subnormals and for the form of NaN. Both are rare, so results
# are computed with NumPy and searched for them once. Only where one is found, they are computed again step by step.


def _special(numbers: Floats) -> bool:
    """True when one of `numbers` is subnormal, NaN, infinite or the smallest normal one, which rounding may have made.

    `<< 1` drops the sign. As signed integers, all of these are then within 2^24 of 0; infinity and NaN lie below 0.
    Only 0 itself is near and not special: less 1, it becomes the largest unsigned integer.
    """
    integers = np.ascontiguousarray(numbers).reshape(-1).view(np.int32)
    return _special_integers(integers, np.empty_like(integers))


def _special_integers(integers: npt.NDArray[np.int32], distances: npt.NDArray[np.int32]) -> bool:
    """As `_special` for the bits of the numbers, [N]; `distances` [N] is overwritten."""
    np.left_shift(integers, 1, distances)
    np.abs(distances, distances)
    np.subtract(distances, 1, distances)
    return bool(np.minimum.reduce(distances.view(np.uint32)) < EXPONENT_STEP)


class Mad:
    """(a * x) + y, or -(a * x) + y, again and again on operands that change in place, in one scratch memory.

    `scratch` keeps arrays by their shape, for all operations that it is given to; they are never in use together. A
    decoder's token takes thousands of such operations on a few hundred numbers each. So their time is that of NumPy's
    calls, and all views of the arrays are made before, flat where they can be.
    """

    def __init__(
        self, a: Bits, x: Bits | None, y: Bits | None, *, negate: bool, scratch: dict[tuple[int, ...], Scratch]
    ) -> None:
        self._operands, self._negate = (a, x, y), negate
        given = [operand.view(np.float32) for operand in (a, x, y) if operand is not None]
        shape = (len(given) + (x is not None) + (y is not None), *np.broadcast(*given).shape)
        if shape not in scratch:
            scratch[shape] = np.empty(shape, np.float32), np.empty(int(np.prod(shape)), np.int32)
        numbers, self._distances = scratch[shape]
        flat = numbers.reshape(shape[0], -1)
        self._copies = [(numbers[n], operand) for n, operand in enumerate(given)]
        self._product = flat[0] if x is None else flat[len(given)]
        self._factors = None if x is None else (flat[0], flat[1])
        self._sum = None if y is None else (flat[len(given) - 1], flat[-1])
        self._integers = numbers.reshape(-1).view(np.int32)
        self._result: Bits = numbers[-1 if y is not None or x is not None else 0].view(np.uint32)

    def __call__(self) -> Bits:
        """The result for the operands as they are now; it is overwritten by the next one of its shape."""
        for copy, operand in self._copies:
            copy[...] = operand
        result = self._product
        if self._factors is not None:
            np.multiply(*self._factors, result)
        if self._negate:
            np.negative(result, result)
        if self._sum is not None:
            np.add(result, *self._sum)
        return self._step_by_step() if _special_integers(self._integers, self._distances) else self._result

    def _step_by_step(self) -> Bits:
        a, x, y = self._operands
        product = flushed(floats(a)) if x is None else multiply(floats(a), floats(x))
        product = -product if self._negate else product
        return bits(product if y is None else add(product, floats(y)))


def _mad(a: Bits, x: Bits | None, y: Bits | None, negate: bool) -> Bits:
    return Mad(a, x, y, negate=negate, scratch={})()


def _extreme(a: Bits, x: Bits, *, largest: bool) -> Bits:
    """Larger or smaller of `a` and `x`, by the order of float32 with -0 below +0."""
    numbers = np.stack(np.broadcast_arrays(a, x)).view(np.float32)
    if numbers[1].all() and not _special(numbers):
        chosen: Floats = (np.maximum if largest else np.minimum)(numbers[0], numbers[1])
        return chosen.view(np.uint32)
    first, second = bits(flushed(floats(a))), bits(flushed(floats(x)))
    larger = _ordered(first) > _ordered(second)
    return np.where(np.isnan(floats(first)) | np.isnan(floats(second)), NAN, np.where(larger == largest, first, second))


def _ordered(raw: Bits) -> npt.NDArray[np.int64]:
    """Integers in the order of the floats."""
    magnitude = (raw & ~SIGN).astype(np.int64)
    return np.where(raw & SIGN, -1 - magnitude, magnitude)


def _sum(products: Floats) -> Bits:
    """Sum of `products` [..., rounds, partial sums of all lanes] over the last two axes: by rounds, then by halves."""
    *outside, _, width = products.shape
    rounds = np.add.accumulate(products + np.float32(0), axis=-2)
    halves = np.empty((*outside, width), np.float32)
    partial: Floats = rounds[..., -1, :]
    start = 0
    while (half := partial.shape[-1] // 2) > 0:
        partial = np.add(partial[..., :half], partial[..., half:], out=halves[..., start : start + half])
        start += half
    if not _special(rounds) and not _special(halves[..., :start]):
        return partial[..., 0].view(np.uint32)
    partial = np.zeros_like(halves)
    for n in range(products.shape[-2]):
        partial = add(partial, products[..., n, :])
    while (half := partial.shape[-1] // 2) > 0:
        partial = add(partial[..., :half], partial[..., half:])
    return bits(partial[..., 0])
