"""Reads weights back from streams of blocks that differ in length (spec/manifest.py, BlockLayout)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from einloom.spec.formats import FORMATS, Format
from einloom.spec.manifest import BlockLayout
from einloom.spec.sparsity import KEPT, PATTERNS
from einloom.spec.stored_blocks import stored_blocks
from einloom.spec.trits import CODES

UInt8 = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]


def read_blocks(
    streams: Sequence[UInt8], layout: BlockLayout, format: int, blocks: int, tiles: int
) -> tuple[UInt8, UInt8, UInt8]:
    """Codes [outputs, blocks, block], scales and selectors [outputs, blocks] of a product, from every channel's stream.

    `format` is the format's index. Of an empty block all are 0.
    """
    base, columns = FORMATS[layout.steps[format].format], layout.columns_per_channel
    codes = np.zeros((tiles, layout.channels, columns, blocks, layout.block), np.uint8)
    scales, selectors = np.zeros((2, *codes.shape[:-1]), np.uint8)
    for channel, stream in enumerate(streams):
        bits = np.unpackbits(stream, bitorder="little")
        for found in stored_blocks(bits, layout, base, blocks, tiles):
            part = read_block(bits[found.start : found.start + found.bits], layout, base, found.kept)
            at = found.tile, channel, slice(None), found.block
            codes[at], scales[at], selectors[at] = part
    shape = (tiles * layout.channels * columns, blocks)
    return codes.reshape(*shape, layout.block), scales.reshape(shape), selectors.reshape(shape)


def read_block(bits: UInt8, layout: BlockLayout, format: Format, kept: int | None) -> tuple[UInt8, UInt8, UInt8]:
    """Codes [columns, inputs], scales and selectors [columns] of a block's bits."""
    columns, steps = layout.columns_per_channel, layout.block_steps(format, kept)
    width = (len(bits) - layout.metadata.bits) // steps
    metadata = bits[width : width + layout.metadata.bits]
    words = np.concatenate([bits[:width], bits[width + layout.metadata.bits :]]).reshape(steps, width)
    codes = np.zeros((columns, layout.block), np.uint8)
    for step, word in enumerate(words):
        places, found = _weights(word, layout, format, kept, step)
        # Where fewer weights are kept than there is room for, zeros share a place with another.
        np.bitwise_or.at(codes, (np.arange(columns)[:, None], places.reshape(columns, -1)), found.reshape(columns, -1))
    scales = _numbers(metadata[: columns * layout.scale_bits].reshape(columns, -1))
    rest = metadata[columns * layout.scale_bits :][: columns * layout.selector_bits].reshape(columns, -1)
    return codes, scales, _numbers(rest)


def _weights(word: UInt8, layout: BlockLayout, format: Format, kept: int | None, step: int) -> tuple[Places, UInt8]:
    """Inputs of the block, and codes, [columns, ...] each, of the weights of a step."""
    sets, columns = layout.sets, layout.columns_per_channel
    full = format.neighbours == 1 or kept == format.of
    in_word = step % sets.steps(format, kept)
    base = step // sets.steps(format, kept) * sets.inputs
    if full:
        n = np.arange(sets.lanes)
        places = base + n // sets.sharing * sets.candidates + in_word * sets.sharing + n % sets.sharing
        if format.in_trits:
            found = CODES[_numbers(word.reshape(-1, 8))].ravel()[: columns * sets.lanes].astype(np.uint8)
        else:
            found = _numbers(word[: columns * sets.lanes * format.bits].reshape(-1, format.bits))
        return np.broadcast_to(places, (columns, sets.lanes)), found.reshape(columns, -1)
    count = sets.words(format)
    n = np.arange(count)
    parts = word[: columns * count * format.word_bits].reshape(columns, count, -1)
    if format.sparse:
        first = base + n // (sets.together // KEPT) * sets.candidates + in_word * format.neighbours
        pairs = np.array(PATTERNS)[_numbers(parts[..., KEPT * format.bits :])]
        codes = _numbers(parts[..., : KEPT * format.bits].reshape(columns, count, KEPT, -1))
        return first[:, None] + pairs, codes
    assert kept is not None
    first = base + n // sets.together * sets.candidates + in_word // (kept // sets.together) * format.of
    return first + _numbers(parts[..., format.bits :]), _numbers(parts[..., : format.bits])


def _numbers(bits: UInt8) -> UInt8:
    """Unsigned numbers of up to 8 bits on the last axis, least significant bit first; 0 where there is none."""
    powers: UInt8 = (1 << np.arange(bits.shape[-1])).astype(np.uint8)
    numbers: UInt8 = bits @ powers
    return numbers
