"""Weights of which few of each M neighbouring inputs are not zero.

Two of four are words of two codes and a pattern; N of M are codes, each with the index of its input.
"""

from itertools import combinations

import numpy as np
import numpy.typing as npt

from einloom.spec.errors import InputError

BLOCK, KEPT = 4, 2
"""Neighbouring inputs, and those of them whose weights are kept."""
PATTERNS = tuple(combinations(range(BLOCK), KEPT))
"""The places of the kept weights, by the number that stands for them."""
PATTERN_BITS = 3

UInt8 = npt.NDArray[np.uint8]
_PLACES = np.array(PATTERNS, np.intp)


def _pattern(kept: int) -> int:
    places = {n for n in range(BLOCK) if kept >> n & 1}
    return next((number for number, pattern in enumerate(PATTERNS) if places <= set(pattern)), -1)


_OF_KEPT = np.array([_pattern(kept) for kept in range(1 << BLOCK)], np.int8)
"""The first pattern that has room for each set of weights; -1 for sets of more than two."""


def compressed(codes: UInt8) -> tuple[UInt8, UInt8]:
    """The kept codes [..., K / 4, 2] and the patterns [..., K / 4] of codes [..., K], whose code 0 is zero.

    Raises InputError when more than two of four are not zero.
    """
    blocks = codes.reshape(*codes.shape[:-1], -1, BLOCK)
    patterns = _OF_KEPT[(blocks != 0) @ (1 << np.arange(BLOCK))]
    if patterns.min(initial=0) < 0:
        raise InputError("more than two of four neighbouring weights are not zero: prune the matrix to 2:4 first")
    return np.take_along_axis(blocks, _PLACES[patterns], axis=-1), patterns.astype(np.uint8)


def expanded(kept: UInt8, patterns: UInt8) -> UInt8:
    """The codes [..., K] of which `compressed` made these; InputError for a pattern that there is not."""
    if patterns.max(initial=0) >= len(PATTERNS):
        raise InputError(f"{patterns.max()} is no pattern of two in four")
    blocks = np.zeros((*patterns.shape, BLOCK), np.uint8)
    np.put_along_axis(blocks, _PLACES[patterns], kept, axis=-1)
    return blocks.reshape(*patterns.shape[:-1], -1)


def word_bits(codes: UInt8, bits: int) -> UInt8:
    """Codes [..., K] as the bits [..., K / 4, word] of their words: two codes of `bits`, then the pattern."""
    kept, patterns = compressed(codes)
    values = kept[..., None] >> np.arange(bits, dtype=np.uint8) & np.uint8(1)
    pattern = patterns[..., None] >> np.arange(PATTERN_BITS, dtype=np.uint8) & np.uint8(1)
    return np.concatenate([values.reshape(*patterns.shape, -1), pattern], axis=-1)


def codes_of_bits(words: UInt8, bits: int) -> UInt8:
    """The codes [..., K] of such words [..., K / 4, word]."""
    values = words[..., : KEPT * bits].reshape(*words.shape[:-1], KEPT, bits)
    powers = (1 << np.arange(8)).astype(np.uint8)
    patterns = words[..., KEPT * bits :] @ powers[:PATTERN_BITS]
    return expanded((values @ powers[:bits]).astype(np.uint8), patterns.astype(np.uint8))


def largest(magnitudes: npt.NDArray[np.floating], kept: int = KEPT, of: int = BLOCK) -> npt.NDArray[np.bool_]:
    """Where the `kept` largest of each `of` neighbours [..., K] are; of equal ones the first."""
    blocks = magnitudes.reshape(*magnitudes.shape[:-1], -1, of)
    order = np.argsort(-blocks, axis=-1, kind="stable")
    places = np.zeros(blocks.shape, np.bool_)
    np.put_along_axis(places, order[..., :kept], True, axis=-1)
    return places.reshape(magnitudes.shape)


def header_widths(counts: int, max_blocks: int) -> tuple[int, int]:
    """Widths of what metadata say of the next block: which of so many N it has, and the empty blocks before it."""
    return (counts - 1).bit_length(), max(1, (max_blocks - 1).bit_length())


def most_kept(codes: UInt8, of: int, group: int) -> npt.NDArray[np.int64]:
    """The most weights [N, K / group] other than zero in any `of` neighbours of each group of codes [N, K]."""
    blocks = (codes != 0).reshape(len(codes), -1, group // of, of)
    most: npt.NDArray[np.int64] = blocks.sum(axis=-1).max(axis=-1)
    return most


def kept_bits(codes: UInt8, of: int, group: int, bits: int) -> int:
    """Bits that codes [N, K] of `bits` take where each group of a row keeps the least power of two that will do.

    A kept weight has an index beside its code; where all are kept, none has. A stream's blocks are groups of several
    rows at once, so they may take more.
    """
    most = most_kept(codes, of, group)
    kept = np.where(most > 0, 1 << np.ceil(np.log2(np.maximum(most, 1))).astype(np.int64), 0)
    index = np.where(kept == of, 0, of.bit_length() - 1)
    return int((kept * (bits + index)).sum()) * (group // of)


def indexed(codes: UInt8, of: int, kept: int) -> tuple[UInt8, UInt8]:
    """The kept codes [..., K / of, kept] and their places of codes [..., K], whose code 0 is zero; zeros fill up.

    Raises InputError when more than `kept` of `of` are not zero.
    """
    blocks = codes.reshape(*codes.shape[:-1], -1, of)
    if ((blocks != 0).sum(axis=-1) > kept).any():
        raise InputError(f"more than {kept} of {of} neighbouring weights are not zero")
    places = np.argsort(blocks == 0, axis=-1, kind="stable")[..., :kept]
    return np.take_along_axis(blocks, places, axis=-1), places.astype(np.uint8)
