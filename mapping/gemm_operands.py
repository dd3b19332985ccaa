"""Quantized matrices and activations as the bytes that a design reads (spec/manifest.py, WeightLayout)."""

import numpy as np
import numpy.typing as npt

from einloom.mapping.block_stream import BlockStream
from einloom.spec.activations import ACTIVATIONS
from einloom.spec.errors import InputError
from einloom.spec.formats import Format, Term
from einloom.spec.lookup import remapped_codes
from einloom.spec.manifest import BlockLayout, GemmManifest, WeightLayout
from einloom.spec.quantized import QuantizedTensor
from einloom.spec.sparsity import word_bits
from einloom.spec.trits import to_bytes

Bytes = npt.NDArray[np.uint8]


def pack_weights(tensor: QuantizedTensor, layout: WeightLayout) -> list[Bytes]:
    """The weight stream of `tensor` for each memory channel, whole beats, least significant byte first.

    Outputs are padded with zero weights to whole tiles. Raises InputError when the design can't take the tensor.
    """
    step = layout.step(tensor.format)
    tiles, blocks = _size(tensor, layout)
    if isinstance(layout, BlockLayout):
        return BlockStream.of(tensor, layout).pack()
    steps = layout.block // layout.lanes
    # [channel, tile, block, ...]: the order of the stream, with the words' own axes last.
    codes = _tiles(tensor.codes, layout, tiles).reshape(*_axes(layout, tiles), blocks, steps, layout.lanes)
    codes = codes.transpose(1, 0, 3, 4, 2, 5)
    parts = [_padded(_step_bits(codes, tensor.format, layout), step.bits).reshape(*codes.shape[:3], -1)]
    if layout.scale_bits:
        scales = _tiles(tensor.scales, layout, tiles).reshape(*_axes(layout, tiles), blocks).transpose(1, 0, 3, 2)
        selectors = _tiles(tensor.selectors, layout, tiles).reshape(*_axes(layout, tiles), blocks).transpose(1, 0, 3, 2)
        words = [_bits(scales, layout.scale_bits), _bits(selectors, layout.selector_bits)]
        metadata = np.concatenate([w.reshape(*scales.shape[:3], -1) for w in words], axis=-1)
        [steps_of_block] = parts
        ahead = step.bits if layout.joined else 0  # bits of a block before its metadata
        first, rest = np.split(steps_of_block, [ahead], axis=-1)
        parts = [first, _padded(metadata, layout.metadata.bits), rest]
    streams = np.concatenate(parts, axis=-1).reshape(layout.channels, -1)
    streams = _padded(streams, stream_beats(tensor, layout) * layout.beat_bits)
    return list(np.packbits(streams, axis=1, bitorder="little"))


def stream_beats(tensor: QuantizedTensor, layout: WeightLayout) -> int:
    """Beats of each stream that `pack_weights` makes, without making them; InputError just so."""
    tiles, blocks = _size(tensor, layout)
    if isinstance(layout, BlockLayout):
        layout.step(tensor.format)
        return BlockStream.of(tensor, layout).beats
    return layout.beats(layout.step(tensor.format), blocks, tiles)


def _size(tensor: QuantizedTensor, layout: WeightLayout) -> tuple[int, int]:
    """Tiles of outputs and blocks of inputs."""
    outputs, inputs = tensor.shape
    if layout.scale_bits and tensor.group != layout.block:
        raise InputError(f"this design takes groups of {layout.block}, not {tensor.group}")
    if not layout.scale_bits and (tensor.scales != 1).any():
        raise InputError("this design has no group scales: quantize with one scale per output channel")
    if inputs % layout.block:
        raise InputError(f"{inputs} inputs are not a multiple of {layout.block}")
    return -(-outputs // (layout.channels * layout.columns_per_channel)), inputs // layout.block


def pack_activations(activations: npt.NDArray[np.generic], manifest: GemmManifest) -> Bytes:
    """Activations [T, K], T at most the design's rows, as one word of each row after the other; missing rows are zero.

    int8 activations, or fp16 ones for designs that take those.
    """
    tokens, inputs = activations.shape
    word = manifest.weights.inputs
    raw = np.zeros((manifest.rows, inputs), f"u{ACTIVATIONS[manifest.activations].dtype.itemsize}")
    raw[:tokens] = activations.view(raw.dtype)
    words = raw.reshape(manifest.rows, inputs // word, word).transpose(1, 0, 2)
    return np.frombuffer(words.astype(raw.dtype.newbyteorder("<")).tobytes(), np.uint8)


def pack_job(manifest: GemmManifest, *, format: Format, inputs: int, outputs: int, tokens: int) -> int:
    """The job word of a matrix product; InputError when the design's sums and counters are not made for its size."""
    layout, tiles = manifest.job, -(-outputs // manifest.columns)
    for what, count, most in (
        ("inputs", inputs, manifest.max_inputs),
        ("tiles of outputs", tiles, manifest.max_tiles),
        ("tokens", tokens, manifest.rows),
    ):
        if count < 1:
            raise InputError(f"a product of {count} {what}: there is nothing to compute")
        if count > most:
            raise InputError(f"a product of {count} {what} is too large for this design, which takes {most}")
    values = {
        "format": manifest.weights.step(format).index,
        "blocks": inputs // manifest.weights.block,
        "tiles": tiles,
        "tokens": tokens,
        "specials": pack_specials(format),
    }
    word, position = 0, 0
    for name, width in layout.model_dump().items():
        if values[name] >> width:
            raise InputError(f"{name} of {values[name]} is too large for this design: it has {width} bits for it")
        word |= values[name] << position
        position += width
    return word


def pack_specials(format: Format) -> int:
    """The terms of the format's special values, selector 0 and its first term lowest; 0 for a format without."""
    specials = 0
    for value in reversed(format.specials):
        for term in reversed(format.terms(value)):
            specials = specials << Term.BITS | term.bits
    return specials


def _axes(layout: WeightLayout, tiles: int) -> tuple[int, int, int]:
    return tiles, layout.channels, layout.columns_per_channel


def _tiles(values: npt.NDArray[np.uint8], layout: WeightLayout, tiles: int) -> npt.NDArray[np.uint8]:
    """`values` [N, ...] with zero rows up to whole tiles; zero is the code, and the scale, of nothing."""
    rows = tiles * layout.channels * layout.columns_per_channel
    return np.pad(values, ((0, rows - len(values)), (0, 0)))


def _step_bits(codes: npt.NDArray[np.uint8], format: Format, layout: WeightLayout) -> npt.NDArray[np.uint8]:
    """The words of steps [..., columns, lanes] as bits [..., n], without their padding."""
    word = (*codes.shape[:-2], -1)
    if format.in_trits:
        return _bits(to_bytes(codes.reshape(word)), 8).reshape(word)
    if format.sparse:
        return word_bits(codes, format.bits).reshape(word)
    if layout.lookup and layout.lookup.remapped:
        codes = remapped_codes(codes, format, layout.lookup.tables)
    return _bits(codes, layout.step(format).code_bits).reshape(word)


def _bits(values: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """The low `count` bits of each value on a new last axis, least significant first."""
    return values[..., None] >> np.arange(count, dtype=np.uint8) & np.uint8(1)


def _padded(bits: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """`bits` with zeros appended on the last axis up to `count`."""
    return np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, count - bits.shape[-1])])
