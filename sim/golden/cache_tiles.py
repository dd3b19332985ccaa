"""Keys and values as they lie in memory: tiles of as many positions as the attention engine has rows (docs/isa.md)."""

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int8]


def tile_bytes(elements: int, rows: int, width: int) -> int:
    """Bytes of a tile of `rows` keys, each of `elements` codes of `width` bits."""
    return elements * rows * width // 8


def read_tiles(raw: Bytes, rows: int, width: int) -> Codes:
    """The codes [positions, elements] of whole tiles, [tiles, bytes]."""
    by_position = np.ascontiguousarray(raw.reshape(len(raw), -1, rows).swapaxes(1, 2)).reshape(len(raw) * rows, -1)
    return by_position.view(np.int8) if width == 8 else nibbles(by_position)


def write_position(tile: Bytes, row: int, codes: Codes, rows: int, width: int) -> None:
    """Put the codes [elements] of one position into row `row` of a tile."""
    tile.reshape(-1, rows)[:, row] = codes.view(np.uint8) if width == 8 else nibble_pairs(codes)


def nibble_pairs(codes: Codes) -> Bytes:
    """Bytes of two 4-bit codes each, the even one lowest."""
    low = codes.view(np.uint8) & np.uint8(0xF)
    return low[::2] | low[1::2] << np.uint8(4)


def nibbles(raw: Bytes) -> Codes:
    """Signed 4-bit codes on the last axis, two to a byte, the lower first."""
    pairs = np.stack([raw & 0xF, raw >> 4], axis=-1).reshape(*raw.shape[:-1], -1)
    return ((pairs ^ 8).astype(np.int8) - 8).astype(np.int8)
