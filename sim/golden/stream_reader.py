"""Reads weights back from the streams that lie in memory (spec/manifest.py, WeightLayout)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from einloom.sim.golden.block_reader import read_blocks
from einloom.spec.formats import FORMATS, SPECIAL_COUNT, Format, Term
from einloom.spec.lookup import original_codes
from einloom.spec.manifest import BlockLayout, GemmManifest
from einloom.spec.sparsity import codes_of_bits
from einloom.spec.trits import CODES

Integers = npt.NDArray[np.integer]
"""int32 at least, which holds a weight times its scale: 16 bits and a few."""


def read_weights(
    streams: Sequence[npt.NDArray[np.uint8]], gemm: GemmManifest, format: int, blocks: int, tiles: int, specials: int
) -> Integers:
    """The matrix [outputs, inputs] of a product, group scales multiplied in, from the stream of every channel.

    `format` and `specials` are the job's fields: the format's index, and the terms of its special values.
    """
    layout = gemm.weights
    step = layout.steps[format]
    base = FORMATS[step.format]
    if isinstance(layout, BlockLayout):
        found, factors, selectors = read_blocks(streams, layout, format, blocks, tiles)
        values = _values(base, found, selectors, _special_values(base, specials))
        return (values * factors[..., None].astype(np.int32)).reshape(len(found), -1)
    columns, lanes, steps = layout.columns_per_channel, layout.lanes, layout.block // layout.lanes
    block_bits = layout.metadata.bits + steps * step.bits
    parts = []
    for stream in streams:
        raw = np.unpackbits(stream, bitorder="little")[: tiles * blocks * block_bits]
        words = raw.reshape(tiles, blocks, block_bits)
        start = step.bits if layout.joined else 0
        first, metadata, rest = np.split(words, [start, start + layout.metadata.bits], axis=-1)
        packed = np.concatenate([first, rest], axis=-1).reshape(tiles, blocks, steps, step.bits)
        codes = _codes(packed, base, columns * lanes).reshape(tiles, blocks, steps, columns, lanes)
        if layout.lookup and layout.lookup.remapped and not base.in_trits:
            codes = original_codes(codes, base, layout.lookup.tables)
        codes = codes.transpose(0, 3, 1, 2, 4)
        codes = codes.reshape(tiles, columns, blocks, layout.block)
        scales, chosen = _metadata(metadata, gemm, columns)
        values = _values(base, codes, chosen, _special_values(base, specials))
        parts.append((values * scales[..., None]).reshape(tiles, columns, blocks * layout.block))
    # A tile's columns are those of channel 0, then of channel 1, and so on.
    return np.concatenate(parts, axis=1).reshape(-1, blocks * layout.block)


def _metadata(words: npt.NDArray[np.uint8], gemm: GemmManifest, columns: int) -> tuple[Integers, Integers]:
    """Scale and selector of each group, [tiles, columns, blocks] each: 1 and 0 where the design has none."""
    layout = gemm.weights
    shape = (words.shape[0], columns, words.shape[1])
    if not layout.scale_bits:
        return np.ones(shape, np.int32), np.zeros(shape, np.uint8)
    scales = _numbers(words[..., : columns * layout.scale_bits], layout.scale_bits).swapaxes(1, 2).astype(np.int32)
    if not layout.selector_bits:
        return scales, np.zeros(shape, np.uint8)
    rest = words[..., columns * layout.scale_bits :][..., : columns * layout.selector_bits]
    return scales, _numbers(rest, layout.selector_bits).swapaxes(1, 2)


def _codes(raw: npt.NDArray[np.uint8], format: Format, count: int) -> npt.NDArray[np.uint8]:
    """The first `count` numbers of words of bits, [..., count]."""
    if format.in_trits:
        return CODES[_numbers(raw, 8)].reshape(*raw.shape[:-1], -1)[..., :count].astype(np.uint8)
    if format.sparse:
        words = count // format.word_inputs
        return codes_of_bits(raw[..., : words * format.word_bits].reshape(*raw.shape[:-1], words, -1), format.bits)
    return _numbers(raw[..., : count * format.bits], format.bits)


def _numbers(raw: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    """Unsigned numbers of `width` <= 8 bits on the last axis, least significant bit first."""
    powers: npt.NDArray[np.uint8] = (1 << np.arange(width)).astype(np.uint8)
    numbers: npt.NDArray[np.uint8] = raw.reshape(*raw.shape[:-1], -1, width) @ powers
    return numbers


def _special_values(format: Format, specials: int) -> Integers:
    """The values that the job's terms stand for, by selector."""
    count, values = format.terms_per_weight, []
    for n in range(SPECIAL_COUNT):
        value = 0
        for t, shift in enumerate(format.bsig[:2]):
            word = specials >> (n * 2 + t) * Term.BITS
            digit = Term(sign=word >> 3 & 1, exp=word >> 1 & 3, man=word & 1)
            value += digit.value << shift
        values.append(value)
    assert format.special_code is None or count == 2
    return np.array(values, np.int64)


def _values(format: Format, codes: npt.NDArray[np.uint8], chosen: Integers, specials: Integers) -> Integers:
    """Integer values of codes [..., group] with the selector of each group."""
    values = format.array.astype(np.int32)[codes]
    if format.special_code is None:
        return values
    return np.where(codes == format.special_code, specials.astype(np.int32)[chosen][..., None], values)
