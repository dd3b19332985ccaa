"""Quantization of a matrix the way a config's engine takes it."""

from collections.abc import Mapping

import numpy as np

from einloom.mapping.compress.error_feedback import InputGram
from einloom.mapping.compress.nearest import Float32
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.errors import InputError
from einloom.spec.formats import Format
from einloom.spec.quantized import QuantizedTensor


def quantize_matrix(
    engine: GemmConfig, name: str, matrix: Float32, format: Format, gram: InputGram | None = None
) -> QuantizedTensor:
    """Quantize one matrix [N, K] the way the engine takes it; with `gram` by error feedback, else nearest.

    Raises InputError with its name when the engine can't take it.
    """
    try:
        _check_size(engine, *matrix.shape)
        return _quantize(engine, matrix, format, gram)
    except InputError as error:
        raise InputError(f"tensor {name}: {error}") from error


def quantize_together(
    engine: GemmConfig, matrices: Mapping[str, Float32], format: Format, gram: InputGram
) -> dict[str, QuantizedTensor]:
    """Quantize matrices [N, K] with the same inputs as `quantize_matrix` does each, in less time.

    Raises InputError with the name of one that the engine can't take.
    """
    if len(matrices) > 1:
        ends = np.cumsum([len(matrix) for matrix in matrices.values()]).tolist()
        parts = [slice(end - len(matrix), end) for end, matrix in zip(ends, matrices.values(), strict=True)]
        try:
            for matrix in matrices.values():
                _check_size(engine, *matrix.shape)
            both = _quantize(engine, np.concatenate(list(matrices.values())), format, gram)
        except InputError:  # one of them has the fault, and is named below
            pass
        else:
            return {name: both.rows(part) for name, part in zip(matrices, parts, strict=True)}
    return {name: quantize_matrix(engine, name, matrix, format, gram) for name, matrix in matrices.items()}


def _quantize(engine: GemmConfig, matrix: Float32, format: Format, gram: InputGram | None) -> QuantizedTensor:
    if engine.scale_group is None:
        return quantize_per_channel(matrix, format, scale_search=len(format.planes) > 0, gram=gram)
    return quantize(matrix, format, engine.scale_group, scale_search=True, gram=gram)


def _check_size(engine: GemmConfig, outputs: int, inputs: int) -> None:
    if inputs > engine.max_inputs:
        raise InputError(f"its {inputs} inputs are more than engine.max_inputs, {engine.max_inputs}")
    if engine.scale_group is None and inputs % engine.lanes:
        raise InputError(f"its {inputs} inputs are not a multiple of engine.lanes, {engine.lanes}")
    tiles = -(-outputs // engine.columns)
    if tiles > engine.max_tiles:
        raise InputError(f"its {outputs} outputs are {tiles} tiles, more than engine.max_tiles, {engine.max_tiles}")
