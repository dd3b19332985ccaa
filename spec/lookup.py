"""Products by table look-up: how a step's lanes share tables, and how weights are remapped for them.

In one plane the digits of a step's lanes are +1 or -1 (spec/formats.py). Tables of up to K lanes each hold the sums
of their activations for all digits. Half of the entries are enough, because T[-d] = -T[d]: those with +1 in the table's
last lane. The remap (LUT Tensor Core, ISCA 2025, equation 6) is done on the weights, once and offline:

* a table's index is the digits of its other lanes relative to the last lane's: product of the two;
* its sign is the last lane's digit.

Bits are 1 for +1 in digits and in indices; signs are 1 for minus.
"""

import numpy as np
import numpy.typing as npt

from einloom.spec.formats import Format

UInt8 = npt.NDArray[np.uint8]


def table_sizes(lanes: int, inputs: int) -> tuple[int, ...]:
    """Lanes of each table when none has more than `inputs`: as few tables as that takes, of sizes as even as can be."""
    count = -(-lanes // inputs)
    return tuple(lanes * (n + 1) // count - lanes * n // count for n in range(count))


def table_bits(size: int, activation_bits: int = 8) -> int:
    """Bits of a halved table of `size` lanes with exact entries: sums of `size` activations, of one parity."""
    entry = (size << activation_bits - 1) - 1  # the largest
    return (entry.bit_length() << size - 1) + 1


def remap(digits: UInt8, sizes: tuple[int, ...]) -> UInt8:
    """Digits [..., lanes] of a step in one plane as indices and signs [..., lanes], the sign in each last lane."""
    parts = []
    for part in np.split(digits, np.cumsum(sizes)[:-1], axis=-1):
        sign = 1 - part[..., -1:]
        parts += [part[..., :-1] ^ sign, sign]
    return np.concatenate(parts, axis=-1, dtype=np.uint8)


def restore(remapped: UInt8, sizes: tuple[int, ...]) -> UInt8:
    """The digits that `remap` made `remapped` of."""
    parts = []
    for part in np.split(remapped, np.cumsum(sizes)[:-1], axis=-1):
        sign = part[..., -1:]
        parts += [part[..., :-1] ^ sign, 1 - sign]
    return np.concatenate(parts, axis=-1, dtype=np.uint8)


def digits_of(codes: UInt8, format: Format) -> UInt8:
    """The digits of `codes` [...], one plane per entry of a new last axis."""
    words = np.array(format.digits, np.uint8)[codes]
    return words[..., None] >> np.arange(len(format.planes), dtype=np.uint8) & np.uint8(1)


def remapped_codes(codes: UInt8, format: Format, sizes: tuple[int, ...]) -> UInt8:
    """Codes [..., lanes] of steps with each plane remapped: bit i of a lane's number is plane i's."""
    planes = remap(np.moveaxis(digits_of(codes, format), -1, 0), sizes)
    return _joined(planes)


def original_codes(numbers: UInt8, format: Format, sizes: tuple[int, ...]) -> UInt8:
    """The codes that `remapped_codes` made `numbers` of, for formats in which all digits make a code."""
    words = restore(np.stack([numbers >> np.uint8(i) & np.uint8(1) for i in range(len(format.planes))]), sizes)
    code_of = np.zeros(1 << len(format.planes), np.uint8)
    code_of[list(format.digits)] = np.arange(len(format.digits))
    return code_of[_joined(words)]


def _joined(planes: UInt8) -> UInt8:
    """Numbers whose bit i is planes[i]."""
    joined: UInt8 = np.bitwise_or.reduce([plane << np.uint8(i) for i, plane in enumerate(planes)], axis=0)
    return joined
