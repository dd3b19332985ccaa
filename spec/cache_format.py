"""Keys and values in memory: tiles of codes, and where each token has a scale, that scale before its codes.

A tile has as many positions as the attention engine has rows. Byte e of all its rows lies together. With a scale per
token, each row begins with a header of `header_bytes`, whose last SCALE_BYTES are the scale, low byte first. The engine
then sees

    element = round(code * scale / 2^scale_shift)

half up, which is 16 bits wide. A scale is at most LARGEST_SCALE, so every product of a code and a scale fits.
"""

from dataclasses import dataclass

SCALE_BYTES = 2
SCALE_BITS = 12
LARGEST_SCALE = (1 << SCALE_BITS) - 1
HEADROOM = 8
"""Elements may be this many times as large as a head's largest channel in calibration, before their scale saturates."""


@dataclass(frozen=True)
class CacheFormat:
    """The tiles of a core's cache.

    Parameters
    ----------
    bits : 4 or 8, width of a code.
    rows : positions of a tile, a power of two.
    beat_bits : width of memory's beats.
    token_scales : each token and head has a scale.
    """

    bits: int
    rows: int
    beat_bits: int
    token_scales: bool

    @property
    def header_bytes(self) -> int:
        """Bytes of each row before its codes: a scale, or more where a beat has more bytes of each row."""
        return max(SCALE_BYTES, self.beat_bits // (8 * self.rows)) if self.token_scales else 0

    @property
    def header_beats(self) -> int:
        """Beats of a tile's headers."""
        return self.header_bytes * self.rows * 8 // self.beat_bits

    @property
    def largest_code(self) -> int:
        """Codes are symmetric."""
        return (1 << (self.bits - 1)) - 1

    @property
    def scale_shift(self) -> int:
        """Low bits of a code times a scale that are rounded away, so that 16 are left."""
        return 4 if self.bits == 8 else 0

    @property
    def largest_element(self) -> int:
        """What the largest code is worth where calibration's largest scale is used."""
        if not self.token_scales:
            return self.largest_code
        return (self.largest_code * (LARGEST_SCALE // HEADROOM)) >> self.scale_shift

    def tile_bytes(self, elements: int) -> int:
        """Bytes of a tile of keys or values of so many elements."""
        return (elements * self.bits // 8 + self.header_bytes) * self.rows
