"""fp16 numbers as integers that share an exponent.

A finite number is (-1)^sign * significand * 2^(exponent - 25), with the exponent field as exponent, 1 for subnormals.
"""

from amaranth import Cat, Const, Mux
from amaranth.lib import data

FP16 = data.StructLayout({"fraction": 10, "exponent": 5, "sign": 1})
SIGNIFICAND_BITS = 11  # with the hidden bit
UNIT_EXPONENT = 25  # a significand's unit is 2^-25 at exponent 0
ALIGN_BITS = 3  # extra bits below a significand that is shifted to a larger exponent, rounded to nearest even
ALIGNED_LIMIT = ((1 << SIGNIFICAND_BITS) - 1) << ALIGN_BITS  # of the magnitude of an aligned significand


def exponent_and_significand(number):
    """(exponent, significand) of a view of FP16."""
    normal = number.exponent.any()
    return number.exponent | ~normal, Cat(number.fraction, normal)


def round_shift(value, amount):
    """`value` / 2^`amount` for a non-negative amount, rounded to nearest, ties to even."""
    kept, up = split_shift(value, capped_shift(value, amount))
    return (kept + up)[: len(value)]  # only an exact shift by 0 uses all bits: no carry out


def capped_shift(value, amount):
    """`amount`, or a smaller one with which `split_shift` of `value` gives the same.

    From the width of `value` plus 1 on, the quotient is below one half, so it rounds to 0.
    """
    bits = len(value).bit_length()
    limit = (1 << bits) - 1
    amount = amount.as_unsigned()
    return Mux(amount > limit, limit, amount)[:bits]


def split_shift(value, amount):
    """(`value` / 2^`amount` rounded down, 1 if rounding to nearest, ties to even, adds 1 to it).

    The amount comes from `capped_shift`.
    """
    limit = (1 << len(value).bit_length()) - 1
    shifted = Cat(Const(0, limit), value) >> amount
    kept, half, sticky = shifted[limit:], shifted[limit - 1], shifted[: limit - 1].any()
    return kept, half & (sticky | kept[0])
