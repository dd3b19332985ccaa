"""The fields of IEEE float32, and steps that the adder, the multiplier and the converters share."""

from amaranth import Cat, Const, Module, Mux, Signal, Value

from einloom.hw.arith.named import named
from einloom.hw.arith.trees import tree

BITS = 32
FRACTION_BITS = 23
SIGNIFICAND_BITS = FRACTION_BITS + 1  # with the hidden one
EXPONENT_BITS = 8
EXPONENT_BIAS = 127
EXPONENT_MAX = (1 << EXPONENT_BITS) - 1  # of infinities and NaN
MAGNITUDE_BITS = BITS - 1

NAN = 0x7FC00000
INFINITY = 0x7F800000
ONE = 0x3F800000
MINUS_ZERO = 0x80000000  # x + -0 is x, also for x = +0


class Fields:
    """The fields of `value`, the 32 bits of a float."""

    def __init__(self, value: Value):
        self.fraction = value[:FRACTION_BITS]
        self.exponent = value[FRACTION_BITS:MAGNITUDE_BITS]
        self.magnitude = value[:MAGNITUDE_BITS]
        self.sign = value[MAGNITUDE_BITS]
        self.is_zero = self.exponent == 0  # a subnormal counts as zero
        top = self.exponent == EXPONENT_MAX
        self.is_infinite = top & (self.fraction == 0)
        self.is_nan = top & (self.fraction != 0)

    @property
    def significand(self) -> Value:
        """The fraction behind its hidden one, also where the float is zero."""
        return Cat(self.fraction, Const(1, 1))

    @property
    def canonical_magnitude(self) -> Value:
        """The lower 31 bits, with a subnormal as zero and NaN in its one form."""
        return Mux(self.is_nan, NAN, Mux(self.is_zero, 0, self.magnitude))


def sum_or_difference(a: Value, b: Value, subtract: Value, width: int) -> Value:
    """a + b, or a - b, of unsigned numbers modulo 2^width, in one carry chain."""
    extended = Cat(b, Const(0, width - len(b)))
    carried = Cat(Const(1, 1), a) + Cat(subtract, extended ^ subtract.replicate(width))
    return carried[1 : 1 + width]


def rounds_up(significand: Value, below: Value) -> Value:
    """1 if rounding to nearest even adds one to `significand` when the bits `below` it are dropped."""
    return below[-1] & (below[:-1].any() | significand[0])


def finish(m: Module, name: str, nan: Value, infinite: Value, zero: Value, sign: Value, magnitude: Value) -> Value:
    """The float of `sign` and `magnitude`, or the special case that comes first; registered."""
    result = Signal(BITS, name=name, reset_less=True)
    with m.If(nan):
        m.d.sync += result.eq(NAN)
    with m.Elif(infinite):
        m.d.sync += result.eq(Cat(Const(INFINITY, MAGNITUDE_BITS), sign))
    with m.Elif(zero):
        m.d.sync += result.eq(Cat(Const(0, MAGNITUDE_BITS), sign))
    with m.Else():
        m.d.sync += result.eq(Cat(magnitude, sign))
    return result


def leading_zeros(m: Module, value: Value, name: str) -> Value:
    """Counts the zeros above the highest one of `value`; anything when it is 0.

    Nibbles first, so that depth grows with the logarithm of the width.
    """
    padded = Cat(Const(0, -len(value) % 4), value)
    nibbles = [padded[start : start + 4] for start in reversed(range(0, len(padded), 4))]

    def nibble_zeros(n: Value) -> Value:
        return Cat(~n[3] & (n[2] | ~n[1]), ~(n[3] | n[2]))

    def first(high: tuple[Value, Value], low: tuple[Value, Value]) -> tuple[Value, Value]:
        """(any one, zeros above it) of two neighbours of equal width."""
        width = len(high[1])
        both = Mux(high[0], high[1], low[1])
        return high[0] | low[0], Cat(both[:width], ~high[0])

    pairs = [(n.any(), nibble_zeros(n)) for n in nibbles]
    while len(pairs) & (len(pairs) - 1):
        pairs.append((Const(0, 1), Const(0, 2)))
    count = Signal(range(len(pairs) * 4), name=name)
    m.d.comb += count.eq(tree(first, pairs)[1])
    return count


def shifted_right_sticky(m: Module, value: Value, amount: Value, name: str) -> Value:
    """`value` >> `amount`, with the OR of all bits that are shifted out in the lowest bit.

    Each step is a signal: as expressions they would double with every bit of `amount`.
    """
    for step in reversed(range(len(amount))):
        distance = 1 << step
        lost = value[: min(distance + 1, len(value))].any()
        kept = value[distance + 1 :] if distance + 1 < len(value) else Const(0, 0)
        shifted = Cat(lost, kept, Const(0, len(value) - 1 - len(kept)))
        value = named(m, f"{name}_{distance}", Mux(amount[step], shifted, value))
    return value
