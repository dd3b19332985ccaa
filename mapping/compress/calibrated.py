"""Quantization of all matrices of a model for an engine, each by the inputs that it meets in a text."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.error_feedback import InputGram
from einloom.mapping.compress.for_engine import quantize_matrix
from einloom.models.decoder_graph import Axis, Tensor
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import AttentionFunction, float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.linears import Floats
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.formats import Format
from einloom.spec.quantized import QuantizedTensor

FIRST = 16
"""Tokens that the first one of each text counts for. All others look at it, and its inputs are unlike theirs: what is
right for them alone makes a multiple of the error there."""


class _QuantizingLinears:
    """Linear layers that quantize their matrix on the first inputs that they get, and compute with what came out.

    So one pass of a text quantizes a model: each layer sees the inputs that the quantized layers before it make.
    """

    def __init__(
        self, model: DecoderModel, sizes: PaddedSizes, engine: GemmConfig, formats: Mapping[str, Format], texts: int
    ) -> None:
        self.tensors: dict[str, QuantizedTensor] = {}
        self._matrices = {tensor.name: tensor for tensor in model.graph.linears()}
        self._weights, self._sizes = model.tensors, sizes
        self._engine, self._formats, self._texts = engine, formats, texts
        self._last: tuple[Floats, InputGram] | None = None

    def __call__(self, name: str, x: Floats) -> Floats:
        self.quantize(name, x)
        return x @ self._sizes.cut(self._matrices[name], self.tensors[name].dequantize()).T

    def quantize(self, name: str, x: Floats) -> None:
        """Quantize a matrix that gets `x`."""
        matrix, format = self._matrices[name], self._formats[name]
        padded = self._sizes.padded(matrix, self._weights[name])
        self.tensors[name] = quantize_matrix(self._engine, name, padded, format, self._gram(matrix, x))

    def _gram(self, matrix: Tensor, x: Floats) -> InputGram:
        """The gram matrix of the inputs in the core's sizes; matrices with the same inputs share it."""
        if self._last is None or self._last[0] is not x:
            inputs = Tensor("inputs", x.shape, (Axis.POSITIONS, matrix.axes[1]))
            counted = x.copy()
            counted[:: len(x) // self._texts] *= np.sqrt(np.float32(FIRST))
            self._last = x, InputGram.of(self._sizes.padded(inputs, counted))
        return self._last[1]


def quantize_calibrated(
    model: DecoderModel,
    sizes: PaddedSizes,
    engine: GemmConfig,
    texts: npt.NDArray[np.int64],
    formats: Mapping[str, Format],
    attention: AttentionFunction = float_attention,
) -> dict[str, QuantizedTensor]:
    """The matrices of a model in a core's `sizes`, quantized by error feedback on `texts` [B, T] of tokens.

    `formats` has each matrix's format. `attention` sees the keys and values of the
    quantized model. InputError with the name of the matrix that the engine can't take.
    """
    linears = _QuantizingLinears(model, sizes, engine, formats, len(texts))
    x = Decoder(model, linears, attention, texts=len(texts)).read(texts.ravel().tolist())
    linears.quantize(model.graph.head.linear.weight, x)
    return linears.tensors
