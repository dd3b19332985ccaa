"""A format for each matrix: the cheaper ones where they cost the outputs least."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.error_feedback import InputGram
from einloom.mapping.compress.for_engine import quantize_matrix
from einloom.models.decoder_graph import Axis, Tensor
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.linears import Floats
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.errors import InputError
from einloom.spec.formats import Format, format_named

FEWEST_KEPT = 2
"""Smallest N: with M = 16 no block is stored with fewer."""


class _MeasuringLinears:
    """Float linear layers that note what each format would cost on the first inputs that they get.

    Attributes
    ----------
    costs : by matrix and format: error of the outputs, relative to the outputs, and stored bits of the matrix.
    """

    def __init__(self, model: DecoderModel, sizes: PaddedSizes, engine: GemmConfig) -> None:
        self.costs: dict[str, dict[str, tuple[float, float]]] = {}
        self._matrices = {tensor.name: tensor for tensor in model.graph.linears()}
        self._weights, self._sizes, self._engine = model.tensors, sizes, engine

    def __call__(self, name: str, x: Floats) -> Floats:
        matrix, y = self._matrices[name], x @ self._weights[name].T
        padded = self._sizes.padded(matrix, self._weights[name])
        inputs = self._sizes.padded(Tensor("inputs", x.shape, (Axis.POSITIONS, matrix.axes[1])), x)
        power, size = np.square(inputs, dtype=np.float64).mean(axis=0), float(np.square(y, dtype=np.float64).mean())
        gram = InputGram(np.diag(power).astype(np.float32))
        self.costs[name] = {}
        for format in candidates(self._engine):
            tensor = quantize_matrix(self._engine, name, padded, format, gram)
            error = np.square(tensor.dequantize() - padded).mean(axis=0) @ power
            self.costs[name][format.name] = float(error / max(size, 1e-30)), tensor.bits_per_weight * padded.size
        return y


def candidates(engine: GemmConfig) -> Iterator[Format]:
    """The engine's formats, and of those that choose N of M for each block the forms that are pruned to an N."""
    for format in engine.weight_formats:
        yield format
        kept = format.of // 2
        while kept >= FEWEST_KEPT:
            pruned = format_named(f"{format.full.name}-{kept}of{format.of}")
            if pruned.stored == format:  # two of four have a form of their own
                yield pruned
            kept //= 2


def choose_formats(
    model: DecoderModel, sizes: PaddedSizes, engine: GemmConfig, texts: npt.NDArray[np.int64], bits: float
) -> dict[str, Format]:
    """One of the engine's `candidates` for each matrix, so that all take at most `bits` for a weight on average.

    Every matrix begins with the format of the least error. Then the one whose outputs lose least for each bit that it
    saves gets a cheaper format, until all fit. Errors are those of rounding each weight alone, on `texts` [B, T] of
    tokens. InputError when even the cheapest formats take more.
    """
    linears = _MeasuringLinears(model, sizes, engine)
    Decoder(model, linears, texts=len(texts)).step(texts.ravel().tolist())
    chosen = {name: min(costs, key=lambda f: costs[f]) for name, costs in linears.costs.items()}
    weights = {t.name: int(np.prod(sizes.shape(t))) for t in model.graph.linears()}
    budget = bits * sum(weights.values())
    while sum(linears.costs[name][f][1] for name, f in chosen.items()) > budget:
        steps = [step for name, format in chosen.items() for step in _cheaper(name, format, linears.costs[name])]
        if not steps:
            least = sum(linears.costs[name][f][1] for name, f in chosen.items()) / sum(weights.values())
            raise InputError(f"--weights auto:{bits:g}: the design's formats take at least {least:.2f} bits a weight")
        _, name, format = min(steps)
        chosen[name] = format
    by_name = {format.name: format for format in candidates(engine)}
    return {name: by_name[format] for name, format in chosen.items()}


def _cheaper(name: str, format: str, costs: Mapping[str, tuple[float, float]]) -> Sequence[tuple[float, str, str]]:
    """Formats of a matrix that take fewer bits than its own: error for each bit saved, the matrix, the format."""
    error, bits = costs[format]
    return [((e - error) / (bits - b), name, other) for other, (e, b) in costs.items() if b < bits]
