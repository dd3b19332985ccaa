"""Weights as a core has them: matrices rounded to nearest, without a text to calibrate on, and the embedding."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace

import ml_dtypes
import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.for_engine import quantize_matrix
from einloom.models.decoder_model import DecoderModel
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.quantized import QuantizedTensor


def quantize_for_engine(
    engine: GemmConfig, weights: Mapping[str, npt.NDArray[np.float32]]
) -> dict[str, QuantizedTensor]:
    """The matrices [N outputs, K inputs] in the engine's first format, with the best group scales."""
    return {name: quantize_matrix(engine, name, w, engine.weight_formats[0]) for name, w in weights.items()}


def with_short_embedding(model: DecoderModel) -> DecoderModel:
    """The model with its embedding, scaled as the graph says, in bfloat16."""
    embedding = model.graph.embedding
    scale = np.float32(embedding.scale)
    table = (model.tensors[embedding.weight] * scale).astype(ml_dtypes.bfloat16).astype(np.float32) / scale
    return replace(model, tensors=ChainMap({embedding.weight: table}, dict(model.tensors)))
