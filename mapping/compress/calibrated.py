"""Quantization of all matrices of a model for an engine, each by the inputs that it meets in a text.

The quantized model reads the text a layer at a time, so that each matrix sees what quantized ones before it make. The
float model can read it side by side; then its outputs are what matrices aim at (mapping/compress/error_feedback.py).
"""

from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.balance import is_held, sites
from einloom.mapping.compress.error_feedback import InputGram
from einloom.mapping.compress.for_engine import quantize_together
from einloom.models.decoder_graph import Axis, Tensor
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import AttentionFunction, float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears, Floats
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.formats import Format
from einloom.spec.quantized import QuantizedTensor

FIRST = 16
"""Tokens that the first one of each text counts for. All others look at it, and its inputs are unlike theirs: what is
right for them alone makes a multiple of the error there."""


class _FloatModel:
    """The float model, which reads the texts a layer at a time and notes what each matrix of it gets.

    It reads a layer while the one before is quantized.
    """

    def __init__(self, model: DecoderModel, texts: npt.NDArray[np.int64], ahead: Executor) -> None:
        self._linears, self._noted = FloatLinears(model.linears, keep=False), dict[str, Floats]()
        self._decoder = Decoder(model, self._note, texts=len(texts))
        self._stream = self._decoder.embedded(texts.ravel().tolist())
        self._layers, self._ahead = model.graph.layers, ahead
        self._next = ahead.submit(self._read, 0)

    def _note(self, name: str, x: Floats) -> Floats:
        self._noted[name] = x
        return self._linears(name, x)

    def _read(self, number: int) -> dict[str, Floats]:
        self._noted = {}
        if number < len(self._layers):
            self._stream = self._decoder.through(self._layers[number], self._stream)
        return self._noted

    def inputs(self, number: int) -> dict[str, Floats]:
        """Inputs [B T, K] of the matrices of a layer; the layers are asked for one after the other."""
        found = self._next.result()
        self._next = self._ahead.submit(self._read, number + 1)
        return found

    def head_inputs(self) -> Floats:
        """Those of the head, behind the last layer."""
        self._next.result()
        return self._decoder.head_inputs(self._stream)


class _QuantizingLinears:
    """Linear layers that quantize their matrix on the first inputs that they get, and compute with what came out.

    Attributes
    ----------
    tensors : the matrices that were quantized.
    exact : what matrices that are next would get in the float model; their own inputs where it is missing.
    """

    def __init__(
        self, model: DecoderModel, sizes: PaddedSizes, engine: GemmConfig, formats: Mapping[str, Format], texts: int
    ) -> None:
        self.tensors: dict[str, QuantizedTensor] = {}
        self.exact: Mapping[str, Floats] = {}
        self._matrices = {tensor.name: tensor for tensor in model.graph.linears()}
        self._weights, self._sizes = model.tensors, sizes
        self._engine, self._formats, self._texts = engine, formats, texts
        self._readers = {
            reader.weight: [other.weight for other in site.readers]
            for site in sites(model.graph)
            for reader in site.readers
        }
        self._last: tuple[Floats, InputGram] | None = None

    def __call__(self, name: str, x: Floats) -> Floats:
        self.quantize(name, x)
        return x @ self._sizes.cut(self._matrices[name], self.tensors[name].dequantize()).T

    def quantize(self, name: str, x: Floats) -> None:
        """Quantize a matrix that gets `x`, if it is not yet, and those with the same inputs and format."""
        if name in self.tensors:
            return
        format, gram = self._formats[name], self._gram(self._matrices[name], x)
        names = (other for other in self._readers.get(name, (name,)) if self._formats[other] == format)
        padded = {other: self._aimed(other, format, gram) for other in names}
        self.tensors |= quantize_together(self._engine, padded, format, gram)

    def _aimed(self, name: str, format: Format, gram: InputGram) -> Floats:
        """The weights of a matrix that are to be rounded, in the core's sizes."""
        weights = self._weights[name]
        padded = self._sizes.padded(self._matrices[name], weights)
        held = gram.drift is None or is_held(weights, format, self._engine.scale_group)
        return padded if held else gram.aimed(padded)

    def _gram(self, matrix: Tensor, x: Floats) -> InputGram:
        """The gram matrix of the inputs in the core's sizes; matrices with the same inputs share it."""
        if self._last is None or self._last[0] is not x:
            exact = self.exact.get(matrix.name)
            ours, theirs = self._counted(matrix, x), None if exact is None else self._counted(matrix, exact)
            self._last = x, InputGram.of(ours, theirs)
        return self._last[1]

    def _counted(self, matrix: Tensor, x: Floats) -> Floats:
        """Inputs of a matrix, in the core's sizes, that weigh as much as they count."""
        counted = x.copy()
        counted[:: len(x) // self._texts] *= np.sqrt(np.float32(FIRST))
        return self._sizes.padded(Tensor("inputs", x.shape, (Axis.POSITIONS, matrix.axes[1])), counted)


def quantize_calibrated(
    model: DecoderModel,
    sizes: PaddedSizes,
    engine: GemmConfig,
    texts: npt.NDArray[np.int64],
    formats: Mapping[str, Format],
    attention: AttentionFunction = float_attention,
    *,
    aim: bool = False,
) -> dict[str, QuantizedTensor]:
    """The matrices of a model in a core's `sizes`, quantized by error feedback on `texts` [B, T] of tokens.

    `formats` has each matrix's format. `attention` sees the keys and values of the quantized model. With `aim` matrices
    make good what those before them did wrong; it takes a text of many thousand tokens. InputError with the name of the
    matrix that the engine can't take.
    """
    linears = _QuantizingLinears(model, sizes, engine, formats, len(texts))
    decoder = Decoder(model, linears, attention, texts=len(texts))
    x = decoder.embedded(texts.ravel().tolist())
    with ThreadPoolExecutor(1) as ahead:
        exact = _FloatModel(model, texts, ahead) if aim else None
        for number, layer in enumerate(model.graph.layers):
            linears.exact = exact.inputs(number) if exact else {}
            x = decoder.through(layer, x)
        head = model.graph.head.linear.weight
        linears.exact = {head: exact.head_inputs()} if exact else {}
        linears.quantize(head, decoder.head_inputs(x))
    return linears.tensors
