"""Where the blocks of a stream are whose blocks differ in length (spec/manifest.py, BlockLayout)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.spec.errors import InputError
from einloom.spec.formats import Format
from einloom.spec.manifest import BlockLayout

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class StoredBlock:
    """A block of the stream: where it is in the matrix, N of its M weights, and its first bit and its bits."""

    tile: int
    block: int
    kept: int | None
    start: int
    bits: int


def stored_blocks(bits: UInt8, layout: BlockLayout, format: Format, blocks: int, tiles: int) -> Iterator[StoredBlock]:
    """The blocks in a channel's stream; InputError where it says what can't be."""
    place = 0
    header: tuple[int | None, int] = (None, 0)
    if format.of:
        header = _header(bits[: layout.metadata.bits], layout, format)
        place = layout.metadata.bits
    for tile in range(tiles):
        block = -1
        while block < blocks - 1:
            kept, skipped = header
            block += 1 + skipped
            size = layout.block_bits(format, kept)
            if block >= blocks or place + size > len(bits):
                raise InputError(f"tile {tile} of the stream goes on behind its end")
            yield StoredBlock(tile, block, kept, place, size)
            if format.of:
                first = place + (size - layout.metadata.bits) // layout.block_steps(format, kept)
                header = _header(bits[first : first + layout.metadata.bits], layout, format)
            place += size


def _header(metadata: UInt8, layout: BlockLayout, format: Format) -> tuple[int, int]:
    """N of the next block, and the empty ones before it."""
    said = metadata[-layout.density_bits - layout.skip_bits :]
    density = _number(said[: layout.density_bits])
    counts = layout.sets.counts(format)
    if density >= len(counts):
        raise InputError(f"{density} is no number of weights that {format.name} keeps")
    return counts[density], _number(said[layout.density_bits :])


def stored_beats(stream: UInt8, layout: BlockLayout, format: Format, blocks: int, tiles: int) -> int:
    """Beats of a channel's `stream` of bytes that a product takes; InputError where the stream says what can't be."""
    if not tiles * blocks:
        return 0
    if not format.of:
        return layout.whole_beats(tiles * blocks * layout.block_bits(format, None))
    # With its indices a block of few weights may be longer than a full one.
    longest_block = max(layout.block_bits(format, n) for n in layout.sets.counts(format))
    longest = layout.metadata.bits + tiles * blocks * longest_block
    bits = np.unpackbits(stream[: -(-longest // 8)], bitorder="little")
    *_, last = stored_blocks(bits, layout, format, blocks, tiles)
    return layout.whole_beats(last.start + last.bits)


def _number(bits: UInt8) -> int:
    return int(sum(int(bit) << n for n, bit in enumerate(bits)))
