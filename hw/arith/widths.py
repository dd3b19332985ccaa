"""Widths from bounds."""

INT8_LIMIT = 1 << 7  # the largest magnitude: -INT8_LIMIT .. INT8_LIMIT - 1


def signed_bits(limit: int) -> int:
    """Bits of a two's complement number that holds every integer in -limit .. limit."""
    return limit.bit_length() + 1
