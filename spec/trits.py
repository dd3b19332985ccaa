"""Five ternary codes to a byte: 3^5 = 243 of its 256 values, 1.6 bits a code where the information is 1.585.

The code is made for logic: each code's bits depend on few of the byte's. Codes 0 and 1 are a pair, codes 2 and 3
another, of the numbers first + 3 * second, 0 to 8. The byte is a + 8 * b + 64 * c, with two bits in c:

    c       a               b               first pair      second pair     code 4
    0 to 2  0 to 7          0 to 7          a               b               c
    3       0 to 2          0 to 7          8               b               a
    3       3               0 to 2          8               8               b
    3       4 + low bits    t + 4 * high    low + 4 * high  8               t
"""

from itertools import product

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
TRIT_VALUES = 3
TRITS_PER_BYTE = 5
LAST_PAIR = TRIT_VALUES**2 - 1
"""The one number of a pair that does not fit into three bits."""


def _byte(first: int, second: int, code: int) -> int:
    """The byte of two pairs and a code."""
    if LAST_PAIR not in (first, second):
        a, b, c = first, second, code
    elif second != LAST_PAIR:
        a, b, c = code, second, 3
    elif first == LAST_PAIR:
        a, b, c = 3, code, 3
    else:
        a, b, c = 4 + first % 4, code + 4 * (first // 4), 3
    return a + 8 * b + 64 * c


_POWERS = TRIT_VALUES ** np.arange(TRITS_PER_BYTE)
BYTES: UInt8 = np.array([_byte(n % 9, n // 9 % 9, n // 81) for n in range(TRIT_VALUES**TRITS_PER_BYTE)], np.uint8)
"""The byte of five codes, by the sum of code_i * 3^i."""


def _codes(byte: int) -> tuple[int, ...]:
    """The codes of a byte, also of those that no codes make."""
    a, b, c = byte % 8, byte // 8 % 8, byte // 64
    if c < 3:
        first, second, code = a, b, c
    elif a < 3:
        first, second, code = LAST_PAIR, b, a
    elif a == 3:
        first, second, code = LAST_PAIR, LAST_PAIR, b % 4
    else:
        first, second, code = a % 4 + b // 4 * 4, LAST_PAIR, b % 4
    return (*(pair // power % TRIT_VALUES for pair, power in product((first, second), (1, TRIT_VALUES))), min(code, 2))


CODES: UInt8 = np.array([_codes(byte) for byte in range(1 << 8)], np.uint8)
"""The codes of each byte, [256, 5]. No codes make 13 of the bytes; decoders still agree on what they mean."""


def to_bytes(codes: UInt8) -> UInt8:
    """Codes [..., n], all below 3, as bytes [..., ceil(n / 5)]; missing codes are 0."""
    missing = -codes.shape[-1] % TRITS_PER_BYTE
    padded = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, missing)])
    packed: UInt8 = BYTES[padded.reshape(*codes.shape[:-1], -1, TRITS_PER_BYTE) @ _POWERS]
    return packed


def from_bytes(packed: UInt8, count: int) -> UInt8:
    """The first `count` codes [..., count]; ValueError for a byte that none make, or a code behind that isn't 0."""
    if not np.isin(packed, BYTES).all():
        raise ValueError("a byte stands for no five ternary codes")
    codes: UInt8 = CODES[packed].reshape(*packed.shape[:-1], -1)
    if codes[..., count:].any():
        raise ValueError("codes after the last one must be 0")
    return codes[..., :count]
