"""Linear layers: weights in memory, products in the GEMM engine, sums as floats."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.image import nothing
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.gemm_operands import pack_specials, pack_weights, stream_beats
from einloom.mapping.regions import Operand, Region
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.models.decoder_graph import Linear
from einloom.spec.isa import VectorOp
from einloom.spec.manifest import WeightLayout
from einloom.spec.quantized import QuantizedTensor

Bytes = npt.NDArray[np.uint8]


class WeightImages:
    """The weight channels' images; every channel holds the same number of beats."""

    def __init__(self, layout: WeightLayout, *, contents: bool = True) -> None:
        """Begin the images. Without `contents` weights get their places, but images are zeros that take no memory."""
        self._layout = layout
        self._contents: list[list[Bytes]] | None = [[] for _ in range(layout.channels)] if contents else None
        self.beats = 0

    def add(self, tensor: QuantizedTensor) -> tuple[int, int]:
        """Append a matrix's stream to each channel; returns its first beat and its number of beats."""
        offset, beats = self.beats, stream_beats(tensor, self._layout)
        if self._contents is not None:
            for pieces, stream in zip(self._contents, pack_weights(tensor, self._layout), strict=True):
                pieces.append(stream)
        self.beats += beats
        return offset, beats

    def reserve(self, beats: int) -> int:
        """Room for so many beats of each channel, zeros in the images; returns the first one."""
        offset = self.beats
        for pieces in self._contents or ():
            pieces.append(nothing(beats * self._layout.beat_bits // 8))
        self.beats += beats
        return offset

    def bytes(self) -> tuple[Bytes, ...]:
        """The image of each channel."""
        if self._contents is None:
            return tuple(nothing(self.beats * self._layout.beat_bits // 8) for _ in range(self._layout.channels))
        return tuple(np.concatenate([*pieces, nothing(0)]) for pieces in self._contents)


def outputs_of(tensor: QuantizedTensor, start: int, stop: int) -> QuantizedTensor:
    """The rows `start` to `stop` of a matrix."""
    part = slice(start, stop)
    return QuantizedTensor(
        tensor.format,
        tensor.group,
        tensor.codes[part],
        tensor.scales[part],
        tensor.selectors[part],
        tensor.channel_scale[part],
    )


def pieces(outputs: int, columns: int, lanes: int, schedule: Schedule = STANDARD) -> Iterator[tuple[int, int]]:
    """(start, stop) of pieces of about the same size, each whole tiles but for the end."""
    tiles = -(-outputs // columns)
    count = max(1, min(schedule.most_pieces, tiles, outputs // (schedule.piece_words * lanes)))
    for n in range(count):
        yield tiles * n // count * columns, min(tiles * (n + 1) // count * columns, outputs)


class Linears:
    """Emits the products of a program's linear layers."""

    def __init__(self, p: ProgramBuilder) -> None:
        self._p = p
        self.weights = WeightImages(p.gemm.weights, contents=p.contents)

    def result_words(self, outputs: int) -> int:
        """Words of a product's result: whole tiles."""
        return -(-outputs // self._p.gemm.columns) * self._p.gemm.columns // self._p.core.lanes

    def product(self, tensor: QuantizedTensor, activations: Region, d: Region) -> None:
        """d = the integer sums of the matrix and the activations, as floats."""
        p, layout = self._p, self._p.gemm.weights
        outputs, inputs = tensor.shape
        offset, beats = self.weights.add(tensor)
        p.emit("weights", offset=offset, beats=beats)
        p.emit(
            "gemm",
            {activations},
            {d},
            format=layout.step(tensor.format).index,
            blocks=inputs // layout.block,
            tiles=-(-outputs // p.gemm.columns),
            specials=pack_specials(tensor.format),
            activations=activations.base,
            d_base=d.base,
            d_token=d.stride,
        )

    def scaled(
        self, d: Operand, sums: Operand, scales: Operand, tokens: Region, bias: Operand | None = None, *, inner: int
    ) -> None:
        """d = sums * scales, channel by channel, * the token's scale, + the channel's bias."""
        self._p.vec(VectorOp.MAD, d, sums, scales, inner=inner)
        self._p.vec(VectorOp.MAD, d, d, tokens.each, bias, inner=inner)


@dataclass(frozen=True)
class Weights:
    """The quantized matrices and float vectors of a model, in the core's sizes when they are taken."""

    tensors: Mapping[str, QuantizedTensor]
    floats: Mapping[str, npt.NDArray[np.float32]]
    sizes: PaddedSizes

    def parameters(self, key: str, linear: Linear, factor: float = 1.0) -> dict[str, npt.NDArray[np.float32]]:
        """Factors of the sums of a linear layer's channels, and its biases if it has some, times `factor`; by `key`."""
        found = {key: channel_scales(self.tensors[linear.weight]) * np.float32(factor)}
        for tensor in linear.tensors():
            if tensor.name == linear.bias:
                found[f"{key}.bias"] = self.sizes.padded(tensor, self.floats[tensor.name]) * np.float32(factor)
        return found


def channel_scales(tensor: QuantizedTensor) -> npt.NDArray[np.float32]:
    """Factors of the sums of each output channel, float32 [N]."""
    scales: npt.NDArray[np.float32] = tensor.channel_scale * np.float32(tensor.format.unit)
    return scales
