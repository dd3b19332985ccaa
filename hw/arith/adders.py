"""Adders that negate, and their multiplexers, in forms that become one LUT for each bit."""

from amaranth import Cat, Const, Mux


def multiplex(choices, index):
    """choices[index], of a power of two of them, as a tree of two-way multiplexers."""
    for bit in index:
        choices = [Mux(bit, high, low) for low, high in zip(choices[::2], choices[1::2], strict=True)]
    return choices[0]


def add_or_subtract(left, right, minus):
    """left + right, or left - right where `minus`."""
    if minus is None:
        return left + right
    return add_with_carry(left, complemented(right, minus), minus)


def complemented(value, minus):
    """`value`, or -1 - value where `minus`."""
    return (value.as_unsigned() ^ minus.replicate(len(value))).as_signed()


def add_with_carry(left, right, carry):
    """left + right + carry in one adder, whose carry enters as a bit below the lowest.

    It is written as `left` minus the complement of `right`. From that form synthesis connects `left`, a register or a
    sum, to the carry chain, and merges the logic before `right` into the same LUTs.
    """
    return (Cat(Const(0, 1), left).as_signed() - Cat(~carry, ~right).as_signed())[1:].as_signed()


def moved_up(value, low, shift):
    """`value` * 2^`shift`, with the bit `low` in the new places."""
    return Cat(*([low] * shift), value).as_signed()
