"""Keys and values as they lie in memory: tiles of as many positions as the attention engine has rows (docs/isa.md)."""

import numpy as np
import numpy.typing as npt

from einloom.spec.cache_format import LARGEST_SCALE, RECENT_BITS, SCALE_BYTES, UPPER_BITS, CacheFormat

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int8]
Integers = npt.NDArray[np.int64]


def read_tiles(raw: Bytes, format: CacheFormat, *, recent: bool = False) -> Integers:
    """What the engine sees of whole tiles, [tiles, bytes]: [positions, elements]. Those of `recent` tiles have codes of
    RECENT_BITS."""
    rows, header = format.rows, format.header_bytes
    by_position = np.ascontiguousarray(raw.reshape(len(raw), -1, rows).swapaxes(1, 2)).reshape(len(raw) * rows, -1)
    coded = np.ascontiguousarray(by_position[:, header:])
    codes = (coded.view(np.int8) if recent or format.bits == 8 else nibbles(coded)).astype(np.int64)
    if format.recent and not recent:
        codes <<= UPPER_BITS
    if not format.token_scales:
        return codes
    scales = np.ascontiguousarray(by_position[:, header - SCALE_BYTES : header]).view("<u2") & LARGEST_SCALE
    half = (1 << format.scale_shift) >> 1
    elements: Integers = (codes * scales.astype(np.int64) + half) >> format.scale_shift
    return elements


def write_position(tile: Bytes, row: int, codes: Codes, format: CacheFormat, *, recent: bool = False) -> None:
    """Put the codes of one position, those of its header first, into row `row` of a tile."""
    kept = packed(codes, format.code_bits)
    if format.recent and not recent:
        header = format.header_bytes
        kept = np.concatenate([kept[:header], nibble_pairs(upper_halves(codes[header:]))])
    tile.reshape(-1, format.rows)[:, row] = kept


def upper_halves(codes: Codes) -> Codes:
    """The upper UPPER_BITS of codes of RECENT_BITS, rounded."""
    half, largest = 1 << RECENT_BITS - UPPER_BITS - 1, (1 << UPPER_BITS - 1) - 1
    upper: Codes = np.minimum((codes.astype(np.int16) + half) >> UPPER_BITS, largest).astype(np.int8)
    return upper


def packed(codes: Codes, bits: int) -> Bytes:
    """The bytes of codes."""
    return codes.view(np.uint8) if bits == 8 else nibble_pairs(codes)


def nibble_pairs(codes: Codes) -> Bytes:
    """Bytes of two 4-bit codes each, the even one lowest."""
    low = codes.view(np.uint8) & np.uint8(0xF)
    return low[::2] | low[1::2] << np.uint8(4)


def nibbles(raw: Bytes) -> Codes:
    """Signed 4-bit codes on the last axis, two to a byte, the lower first."""
    pairs = np.stack([raw & 0xF, raw >> 4], axis=-1).reshape(*raw.shape[:-1], -1)
    return ((pairs ^ 8).astype(np.int8) - 8).astype(np.int8)
