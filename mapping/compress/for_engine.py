"""Quantization of a matrix the way a config's engine takes it."""

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
        if engine.scale_group is None:
            return quantize_per_channel(matrix, format, scale_search=len(format.planes) > 0, gram=gram)
        return quantize(matrix, format, engine.scale_group, scale_search=True, gram=gram)
    except InputError as error:
        raise InputError(f"tensor {name}: {error}") from error


def _check_size(engine: GemmConfig, outputs: int, inputs: int) -> None:
    if inputs > engine.max_inputs:
        raise InputError(f"its {inputs} inputs are more than engine.max_inputs, {engine.max_inputs}")
    if engine.scale_group is None and inputs % engine.lanes:
        raise InputError(f"its {inputs} inputs are not a multiple of engine.lanes, {engine.lanes}")
    tiles = -(-outputs // engine.columns)
    if tiles > engine.max_tiles:
        raise InputError(f"its {outputs} outputs are {tiles} tiles, more than engine.max_tiles, {engine.max_tiles}")
