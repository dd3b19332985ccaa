"""Keys and values in memory: tiles of codes, and where each token has a scale, that scale before its codes.

A tile has as many positions as the attention engine has rows. Byte e of all its rows lies together. With a scale per
token, each row begins with a header of `header_bytes`, whose last SCALE_BYTES are the scale, low byte first. The engine
then sees

    element = round(code * scale / 2^scale_shift)

half up, which is 16 bits wide. A scale is at most LARGEST_SCALE, so every product of a code and a scale fits.

A text looks mostly at its last tokens and at its first. So with `recent` tiles, the last `recent` tiles of an attention
job and tile 0 have codes of 8 bits, and all others the upper halves of these, rounded:

    upper = min((code + 8) >> 4, 7),   which stands for the code 16 * upper

Each head then has `recent` + 1 tiles with codes of 8 bits, and behind them all tiles with upper halves. Tile 0 is the
last of the former, and tile t takes the place t mod `recent`, where it stays until tile t + `recent` is written.
Source: KIVI (Liu et al., 2024) keeps the last tokens exact, StreamingLLM (Xiao et al., 2024) the first.

A window sees only the last positions, and the sinks at a text's start. So with a `ring` of N tiles a head has N + S
tiles, however long the text is: tile t of the S tiles that have sinks is at place N + t, and any other tile t at place
t mod N, where tile t - N was.
"""

from dataclasses import dataclass

SCALE_BYTES = 2
SCALE_BITS = 12
LARGEST_SCALE = (1 << SCALE_BITS) - 1
RECENT_BITS = 8
UPPER_BITS = 4
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
    recent : last tiles of a job that have codes of RECENT_BITS, a power of two; 0 if all are alike.
    ring : heads may have a ring of tiles.
    """

    bits: int
    rows: int
    beat_bits: int
    token_scales: bool
    recent: int = 0
    ring: bool = False

    @property
    def exchanges(self) -> bool:
        """Heads are mixed over all of their elements, for which the vector unit exchanges lanes."""
        return bool(self.recent)

    @property
    def code_bits(self) -> int:
        """Width of the codes that are made; `bits` of each are kept of tiles that are not recent."""
        return RECENT_BITS if self.recent else self.bits

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
        """Codes are symmetric, and so are their upper halves."""
        largest = (1 << (self.bits - 1)) - 1
        return (largest << UPPER_BITS) + (1 << UPPER_BITS - 1) - 1 if self.recent else largest

    @property
    def scale_shift(self) -> int:
        """Low bits of a code times a scale that are rounded away, so that 16 are left."""
        return 4 if self.code_bits == 8 else 0

    @property
    def largest_element(self) -> int:
        """What the largest code is worth where calibration's largest scale is used."""
        if not self.token_scales:
            return self.largest_code
        return (self.largest_code * (LARGEST_SCALE // HEADROOM)) >> self.scale_shift

    def tile_bytes(self, elements: int) -> int:
        """Bytes of a tile of keys or values of so many elements, with codes of `bits`."""
        return self._tile_bytes(elements, self.bits)

    def recent_tile_bytes(self, elements: int) -> int:
        """Bytes of a tile with codes of RECENT_BITS."""
        return self._tile_bytes(elements, RECENT_BITS)

    def recent_bytes(self, elements: int) -> int:
        """Bytes of a head's tiles with codes of RECENT_BITS, which come before all others."""
        return (self.recent + 1) * self.recent_tile_bytes(elements) if self.recent else 0

    def recent_place(self, tile: int) -> int:
        """Number of a tile among those with codes of RECENT_BITS."""
        return tile % self.recent if tile else self.recent

    def is_recent(self, tile: int, last: int) -> bool:
        """A tile of a job whose last tile is `last` has codes of RECENT_BITS."""
        return bool(self.recent) and (tile == 0 or last - tile < self.recent)

    def sink_tiles(self, sinks: int) -> int:
        """Tiles that have the first `sinks` positions."""
        return -(-sinks // self.rows)

    def ring_place(self, tile: int, ring: int, sinks: int) -> int:
        """Place of a tile of a head with a ring of so many tiles, or with none if it is 0."""
        if not ring:
            return tile
        return ring + tile if tile < self.sink_tiles(sinks) else tile % ring

    def ring_for(self, window: int, tokens: int) -> int:
        """Tiles of the smallest ring in which no position that a chunk of `tokens` sees through a window is lost.

        The first token sees `window` positions up to its own, and the last one, tokens - 1 later, is stored by then.
        """
        return 1 << (-(-(window + tokens - 1) // self.rows) - 1).bit_length()

    def head_bytes(self, elements: int, positions: int) -> int:
        """Bytes of all tiles of a head's keys or values."""
        return self.recent_bytes(elements) + -(-positions // self.rows) * self.tile_bytes(elements)

    def _tile_bytes(self, elements: int, bits: int) -> int:
        return (elements * bits // 8 + self.header_bytes) * self.rows
