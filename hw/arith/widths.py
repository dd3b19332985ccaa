"""Widths from bounds."""


def signed_bits(limit: int) -> int:
    """Bits of a two's complement number that holds every integer in -limit .. limit."""
    return limit.bit_length() + 1
