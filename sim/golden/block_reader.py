"""Reads weights back from streams of blocks that differ in length (spec/manifest.py, BlockLayout)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.spec.errors import InputError
from einloom.spec.formats import Format
from einloom.spec.manifest import BlockLayout
from einloom.spec.sparsity import KEPT, PATTERNS
from einloom.spec.trits import CODES

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


def read_block(bits: UInt8, layout: BlockLayout, format: Format, kept: int | None) -> tuple[UInt8, UInt8, UInt8]:
    """Codes [columns, inputs], scales and selectors [columns] of a block's bits."""
    columns, steps = layout.columns_per_channel, layout.block_steps(format, kept)
    width = (len(bits) - layout.metadata.bits) // steps
    metadata = bits[width : width + layout.metadata.bits]
    words = np.concatenate([bits[:width], bits[width + layout.metadata.bits :]]).reshape(steps, width)
    codes = np.zeros((columns, layout.block), np.uint8)
    for step, word in enumerate(words):
        for column, place, code in _weights(word, layout, format, kept, step):
            codes[column, place] |= code
    scales = [_number(part) for part in metadata[: columns * layout.scale_bits].reshape(columns, -1)]
    rest = metadata[columns * layout.scale_bits :][: columns * layout.selector_bits]
    selectors = [_number(part) for part in rest.reshape(columns, -1)] if layout.selector_bits else [0] * columns
    return codes, np.array(scales, np.uint8), np.array(selectors, np.uint8)


def _weights(
    word: UInt8, layout: BlockLayout, format: Format, kept: int | None, step: int
) -> Iterator[tuple[int, int, int]]:
    """(column, input of the block, code) of each weight of a step."""
    sets, columns = layout.sets, layout.columns_per_channel
    full = format.neighbours == 1 or kept == format.of
    in_word = step % sets.steps(format, kept)
    base = step // sets.steps(format, kept) * sets.inputs
    count = sets.lanes if full else sets.words(format)
    bits = format.bits if full else format.word_bits
    parts = list(word[: columns * count * bits].reshape(-1, bits)) if not format.in_trits else []
    trits = CODES[[_number(byte) for byte in word.reshape(-1, 8)]].ravel() if format.in_trits else None
    for column in range(columns):
        for n in range(count):
            number = column * count + n
            if full:
                code = int(trits[number]) if trits is not None else _number(parts[number])
                first = base + n // sets.sharing * sets.candidates
                yield column, first + in_word * sets.sharing + n % sets.sharing, code
            elif format.sparse:
                first = base + n // (sets.together // KEPT) * sets.candidates + in_word * format.neighbours
                pattern = PATTERNS[_number(parts[number][KEPT * format.bits :])]
                for k, place in enumerate(pattern):
                    yield column, first + place, _number(parts[number][k * format.bits : (k + 1) * format.bits])
            else:
                assert kept is not None
                first = base + n // sets.together * sets.candidates
                first += in_word // (kept // sets.together) * format.of
                yield column, first + _number(parts[number][format.bits :]), _number(parts[number][: format.bits])


def _number(bits: UInt8) -> int:
    return int(sum(int(bit) << n for n, bit in enumerate(bits)))
