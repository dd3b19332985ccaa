"""Products by table look-up: how a step's lanes share tables, and how weights are remapped for them.

In one plane the digits of a step's lanes are +1 or -1 (einloom/formats.py). Tables of up to K lanes each hold the sums
of their activations for all digits; since T[-d] = -T[d], half of the entries are enough: those with +1 in the table's
last lane. The remap (LUT Tensor Core, ISCA 2025, equation 6) is done on the weights, once and offline:

* a table's index is the digits of its other lanes relative to the last lane's: product of the two;
* its sign is the last lane's digit;
* the tables' values are added pairwise, and what is stored of table j > 0 is its sign relative to that of table
  j & (j - 1), which stands on the left of the addition where j stands on the right. So every adder adds or subtracts
  its right side, and the sign of table 0 is that of the whole sum. (This goes beyond the paper, where each table's
  value is negated before it is added.)

Bits are 1 for +1 in digits and in indices; signs are 1 for minus.
"""

import numpy as np
import numpy.typing as npt

from einloom.formats import Format

UInt8 = npt.NDArray[np.uint8]


def table_sizes(lanes: int, inputs: int) -> tuple[int, ...]:
    """Lanes of each table when none has more than `inputs`: as few tables as that takes, of sizes as even as can be."""
    count = -(-lanes // inputs)
    return tuple(lanes * (n + 1) // count - lanes * n // count for n in range(count))


def left_of(table: int) -> int:
    """The first table of the sum that `table` > 0 is added to."""
    return table & (table - 1)


def level_of(table: int) -> int:
    """In which level of pairwise additions, from 1 on, `table` > 0 is the first one on the right."""
    return (table & -table).bit_length()


def remap(digits: UInt8, sizes: tuple[int, ...]) -> UInt8:
    """Digits [..., lanes] of a step in one plane as indices and signs [..., lanes], the sign in each last lane."""
    parts, signs = [], []
    for part in np.split(digits, np.cumsum(sizes)[:-1], axis=-1):
        signs.append(1 - part[..., -1])
        parts.append(part[..., :-1] ^ signs[-1][..., None])
    return np.concatenate(
        [
            np.concatenate([index, (sign ^ (signs[left_of(n)] if n else 0))[..., None]], axis=-1)
            for n, (index, sign) in enumerate(zip(parts, signs, strict=True))
        ],
        axis=-1,
        dtype=np.uint8,
    )


def restore(remapped: UInt8, sizes: tuple[int, ...]) -> UInt8:
    """The digits that `remap` made `remapped` of."""
    parts: list[UInt8] = []
    signs: list[UInt8] = []
    for n, part in enumerate(np.split(remapped, np.cumsum(sizes)[:-1], axis=-1)):
        signs.append(part[..., -1] ^ (signs[left_of(n)] if n else np.uint8(0)))
        parts.append(np.concatenate([part[..., :-1] ^ signs[-1][..., None], 1 - signs[-1][..., None]], axis=-1))
    return np.concatenate(parts, axis=-1)


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
