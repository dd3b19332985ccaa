"""Cycles of a GEMM engine, from its manifest alone."""

import numpy as np
import numpy.typing as npt

from einloom.mapping.block_stream import BlockStream
from einloom.mapping.cost.operation_work import block_terms
from einloom.spec.formats import Format
from einloom.spec.manifest import BlockLayout, GemmManifest
from einloom.spec.quantized import QuantizedTensor

Integers = npt.NDArray[np.int64]


def gemm_cycles(gemm: GemmManifest, format: Format, *, tokens: int, inputs: int, outputs: int) -> int:
    """Cycles of one job when weights arrive at a beat a cycle and sums are taken at once.

    A tile lasts as long as its terms, its beats, or the wait for the tile before it to leave the array, whichever is
    longest; the first beats and the last results are paid once. `tokens` is at most the design's rows. Of formats that
    choose N of M per block all blocks are full; `tensor_cycles` knows a tensor's own.
    """
    layout = gemm.weights
    tiles, blocks = -(-outputs // gemm.columns), inputs // layout.block
    count = np.full(tiles, blocks * block_terms(gemm, format))
    if isinstance(layout, BlockLayout):
        bits = blocks * layout.block_bits(format, format.of or None)
    else:
        bits = blocks * (layout.metadata.bits + layout.block // layout.lanes * layout.step(format).bits)
    return _cycles(gemm, format, tokens, count, np.full(tiles, bits))


def tensor_cycles(gemm: GemmManifest, tensor: QuantizedTensor, tokens: int) -> int:
    """The same for a tensor, whose blocks may keep few weights."""
    layout, (outputs, inputs) = gemm.weights, tensor.shape
    if not isinstance(layout, BlockLayout):
        return gemm_cycles(gemm, tensor.format, tokens=tokens, inputs=inputs, outputs=outputs)
    stream = BlockStream.of(tensor, layout)
    ends = np.concatenate([[0], stream.tile_ends()])
    return _cycles(gemm, tensor.format, tokens, stream.steps(), np.diff(ends))


def _cycles(gemm: GemmManifest, format: Format, tokens: int, compute: Integers, bits: Integers) -> int:
    """Cycles from the terms and the bits of each tile."""
    layout = gemm.weights
    step = layout.step(format)
    memory = -(-bits // layout.beat_bits)
    drain = gemm.pipeline_cycles + tokens
    first_bits = layout.metadata.bits + step.bits if layout.joined else max(layout.metadata.bits, step.bits)
    first_word = 1 + -(-first_bits // layout.beat_bits)
    times = np.maximum(compute, memory)
    return int(first_word + times[0] + np.maximum(times[1:], drain).sum() + drain)


def busy_cycles(gemm: GemmManifest, tensor: QuantizedTensor) -> int:
    """Cycles in which the array is at work on a tensor, once for all tokens of a job."""
    layout, (outputs, inputs) = gemm.weights, tensor.shape
    if isinstance(layout, BlockLayout):
        return int(BlockStream.of(tensor, layout).steps().sum())
    return -(-outputs // gemm.columns) * (inputs // layout.lanes) * layout.step(tensor.format).cycles


def peak_macs_per_cycle(gemm: GemmManifest, format: Format) -> float:
    """Multiply-accumulates per cycle when every row holds a token."""
    return gemm.macs_per_step / gemm.weights.step(format).cycles
