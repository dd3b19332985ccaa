"""Weight streams of designs whose steps pick among several inputs (spec/manifest.py, BlockLayout)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from einloom.spec.formats import Format
from einloom.spec.manifest import BlockLayout
from einloom.spec.quantized import QuantizedTensor
from einloom.spec.sparsity import KEPT, compressed, indexed, most_kept
from einloom.spec.trits import to_bytes

UInt8 = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


def kept_weights(tensor: QuantizedTensor, layout: BlockLayout) -> Integers:
    """N of each block [tiles, blocks] of a tensor whose format chooses it, enough for all columns of a tile.

    It has the fewest steps, and among equals the fewest bits. Two columns of a chain may take as many full steps as
    those of N = M / 2, and a full step has no indices. 0 for blocks that are left out; a tile's last one never is.
    """
    columns, of = layout.channels * layout.columns_per_channel, tensor.format.of
    kept = most_kept(tensor.codes, of, layout.block)
    needed = np.maximum.reduceat(kept, np.arange(0, len(kept), columns), axis=0)
    needed[:, -1] = np.maximum(needed[:, -1], 1)

    def cost(n: int) -> tuple[int, int]:
        return layout.block_steps(tensor.format, n), layout.block_bits(tensor.format, n)

    counts = layout.sets.counts(tensor.format)
    cheapest = [0, *(min((n for n in counts if n >= least), key=cost) for least in range(1, of + 1))]
    found: Integers = np.array(cheapest)[needed]
    return found


@dataclass(frozen=True)
class BlockStream:
    """The blocks of a tensor in the order of the stream.

    Attributes
    ----------
    kept : [tiles, blocks], N of each block, 0 for those that are left out; None for formats that don't choose it.
    """

    tensor: QuantizedTensor
    layout: BlockLayout
    tiles: int
    kept: Integers | None

    @classmethod
    def of(cls, tensor: QuantizedTensor, layout: BlockLayout) -> "BlockStream":
        tiles = -(-len(tensor.codes) // (layout.channels * layout.columns_per_channel))
        return cls(tensor, layout, tiles, kept_weights(tensor, layout) if tensor.format.of else None)

    @property
    def blocks(self) -> int:
        """Blocks of a tile."""
        return self.tensor.shape[1] // self.layout.block

    @cached_property
    def there(self) -> npt.NDArray[np.intp]:
        """Numbers of the blocks that are stored, counted through all tiles."""
        every = np.arange(self.tiles * self.blocks)
        return every if self.kept is None else np.flatnonzero(self.kept)

    @property
    def counts(self) -> list[int | None]:
        """N of each of them."""
        return [None] * len(self.there) if self.kept is None else self.kept.ravel()[self.there].tolist()

    def steps(self) -> Integers:
        """Steps of each tile."""
        steps = np.zeros(self.tiles * self.blocks, np.int64)
        steps[self.there] = [self.layout.block_steps(self.tensor.format, n) for n in self.counts]
        by_tile: Integers = steps.reshape(self.tiles, -1).sum(axis=1)
        return by_tile

    def ends(self) -> Integers:
        """Bits of a channel's stream up to the end of each stored block."""
        sizes = {n: self.layout.block_bits(self.tensor.format, n) for n in set(self.counts)}
        found: Integers = self._ahead + np.cumsum([sizes[n] for n in self.counts])
        return found

    def tile_ends(self) -> Integers:
        """Bits of a channel's stream up to the end of each tile."""
        found: Integers = self.ends()[self.there % self.blocks == self.blocks - 1]
        return found

    @property
    def _ahead(self) -> int:
        """Bits of the metadata before the first block."""
        return self.layout.metadata.bits if self.tensor.format.of else 0

    @property
    def beats(self) -> int:
        """Beats of each channel."""
        return self.layout.whole_beats(int(self.ends()[-1]))

    def headers(self) -> UInt8:
        """What metadata say of the next block as bits [1 + stored blocks, n]: first of the first one, last of none."""
        layout = self.layout
        said = np.zeros(len(self.there) + 1, np.int64)
        if self.kept is not None:
            counts = layout.sets.counts(self.tensor.format)
            in_tile = self.there % self.blocks
            before = np.concatenate([[-1], in_tile[:-1]])
            skipped = in_tile - np.where(before == self.blocks - 1, -1, before) - 1
            density = np.array([counts.index(n) for n in self.counts if n is not None])
            said[:-1] = density | skipped << layout.density_bits
        return bits_of(said, layout.density_bits + layout.skip_bits)

    def pack(self) -> list[UInt8]:
        """The stream of each channel, whole beats, least significant byte first."""
        layout = self.layout
        streams = np.zeros((layout.channels, self.beats * layout.beat_bits), np.uint8)
        metadata = self._metadata()
        if self._ahead:
            first = self.headers()[0]
            streams[:, self._ahead - len(first) : self._ahead] = first
        codes, ends = self._codes(), self.ends()
        for kept in dict.fromkeys(self.counts):
            chosen = np.array([n == kept for n in self.counts])
            steps = self._steps(codes[:, self.there[chosen]], kept)
            first, rest = steps[..., 0, :], steps[..., 1:, :].reshape(*steps.shape[:2], -1)
            blocks = np.concatenate([first, metadata[:, chosen], rest], axis=-1)
            places = ends[chosen, None] - blocks.shape[-1] + np.arange(blocks.shape[-1])
            streams[:, places] = blocks
        return list(np.packbits(streams, axis=1, bitorder="little"))

    def _filled(self, values: UInt8) -> UInt8:
        """`values` [outputs, n] as [channels, tiles, columns, n], zeros up to whole tiles."""
        layout = self.layout
        rows = self.tiles * layout.channels * layout.columns_per_channel
        filled = np.pad(values, ((0, rows - len(values)), (0, 0)))
        shape = (self.tiles, layout.channels, layout.columns_per_channel, values.shape[1])
        return filled.reshape(shape).swapaxes(0, 1)

    def _metadata(self) -> UInt8:
        """The metadata words [channels, stored blocks, bits]."""
        layout, tensor = self.layout, self.tensor
        parts = []
        for values, width in ((tensor.scales, layout.scale_bits), (tensor.selectors, layout.selector_bits)):
            by_block = self._filled(values).swapaxes(2, 3)
            by_block = by_block.reshape(layout.channels, -1, layout.columns_per_channel)[:, self.there]
            parts.append(bits_of(by_block, width).reshape(*by_block.shape[:2], -1))
        header = self.headers()[1:]
        parts.append(np.broadcast_to(header, (layout.channels, *header.shape)))
        used = sum(part.shape[-1] for part in parts)
        parts.insert(2, np.zeros((*parts[0].shape[:2], layout.metadata.bits - used), np.uint8))
        return np.concatenate(parts, axis=-1)

    def _codes(self) -> UInt8:
        """[channels, blocks of all tiles, activation words, columns, sets, candidates]."""
        sets = self.layout.sets
        codes = self._filled(self.tensor.codes)
        channels, tiles, columns, _ = codes.shape
        codes = codes.reshape(channels, tiles, columns, self.blocks, -1, sets.sets, sets.candidates)
        return codes.transpose(0, 1, 3, 4, 2, 5, 6).reshape(channels, -1, *codes.shape[4:5], columns, *codes.shape[5:])

    def _steps(self, codes: UInt8, kept: int | None) -> UInt8:
        """The words of steps [channels, n, steps, bits] of blocks with `kept` weights."""
        format, sets = self.tensor.format, self.layout.sets
        step, full = self.layout.step(format), format.neighbours == 1 or kept == format.of
        if full:
            words = _full_words(codes, sets.sharing)
            words = _step_bytes(words) if format.in_trits else bits_of(words, format.bits)
        elif format.sparse:
            words = _pattern_words(codes, format)
        else:
            assert kept is not None
            words = _index_words(codes, format, kept, sets.together)
        bits = words.reshape(*words.shape[:2], words.shape[2] * words.shape[3], -1)  # words' turns are steps
        width = self.layout.full_bits[step.index] if full else step.bits
        return np.pad(bits, [(0, 0)] * 3 + [(0, width - bits.shape[-1])])


def _full_words(codes: UInt8, sharing: int) -> UInt8:
    """[..., words, turns, columns, sets, ranks] of [..., words, columns, sets, candidates]."""
    return np.moveaxis(codes.reshape(*codes.shape[:-1], -1, sharing), -2, -4)


def _step_bytes(codes: UInt8) -> UInt8:
    """Each step's codes as the bits of bytes of five."""
    return bits_of(to_bytes(codes.reshape(*codes.shape[:4], -1)), 8)


def _pattern_words(codes: UInt8, format: Format) -> UInt8:
    """[..., words, turns, columns, sets, 1, bits], two codes and a pattern for each four inputs."""
    kept, patterns = compressed(codes)  # [..., columns, sets, turns, 2]
    low = bits_of(kept, format.bits).reshape(*patterns.shape, KEPT * format.bits)
    words = np.concatenate([low, bits_of(patterns, format.word_bits - KEPT * format.bits)], axis=-1)
    return np.moveaxis(words, -2, -4)[..., None, :]


def _index_words(codes: UInt8, format: Format, kept: int, together: int) -> UInt8:
    """[..., words, turns, columns, sets, together, bits]: code and index of each kept weight, block of M by block."""
    values, places = indexed(codes, format.of, kept)  # [..., columns, sets, blocks of M, kept]
    words = np.concatenate(
        [bits_of(values, format.bits), bits_of(places, format.word_bits - format.bits)], axis=-1
    )  # [..., columns, sets, blocks of M, kept, bits]
    *shape, blocks, _, bits = words.shape
    words = words.reshape(*shape, blocks * (kept // together), together, bits)
    return np.moveaxis(words, -3, -5)


def bits_of(values: npt.NDArray[np.integer], count: int) -> UInt8:
    """The low `count` bits of each value on a new last axis, least significant first."""
    return (values[..., None] >> np.arange(count, dtype=values.dtype) & 1).astype(np.uint8)
