"""A Llama of any shape with random weights, for measurements that depend on nothing but the shape."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from einloom.models.cache_scales import CacheScales
from einloom.models.decoder_graph import DecoderGraph
from einloom.models.families.llama import LlamaKeys
from einloom.spec.formats import Format, format_named
from einloom.spec.quantized import QuantizedTensor
from einloom.spec.sparsity import largest

LARGEST = 127
UInt8 = npt.NDArray[np.uint8]


def llama_graph(
    *, hidden: int, inner: int, layers: int, heads: int, groups: int, vocab: int, context: int
) -> DecoderGraph:
    """A Llama's dimensions."""
    return LlamaKeys(
        model_type="llama",
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        vocab_size=vocab,
        max_position_embeddings=context,
        tie_word_embeddings=False,
    ).graph()


def random_tensors(
    graph: DecoderGraph, format: str, group: int, seed: int, others: Mapping[str, str] | None = None
) -> tuple[dict[str, QuantizedTensor], dict[str, np.ndarray]]:
    """The quantized matrices of a model, and its float tensors: values of a size that keeps activations near 1.

    Parameters
    ----------
    format : of the matrices; of a sparse one, such as int4-4of16, random weights are zeros.
    group : inputs that share a scale.
    others : formats of matrices whose names contain a word.
    """
    rng = np.random.default_rng(seed)
    quantized, floats = {}, {}
    for tensor in graph.tensors():
        name, shape = tensor.name, tensor.shape
        if len(shape) == 1:
            floats[name] = np.ones(shape, np.float32)
        elif not tensor.linear:
            floats[name] = rng.standard_normal(shape).astype(np.float32)
        else:
            outputs, inputs = shape
            groups = (outputs, inputs // group)
            wanted = next((f for word, f in (others or {}).items() if word in name), format)
            named = format_named(wanted)
            chosen = named.stored
            codes = np.flatnonzero([v <= chosen.qmax for v in np.abs(chosen.array)]).astype(np.uint8)
            size = np.sqrt(np.mean(chosen.array.astype(float) ** 2)) * 160 * math.sqrt(inputs) * chosen.unit
            quantized[name] = QuantizedTensor(
                chosen,
                group,
                _pruned(rng, rng.choice(codes, shape), named),
                rng.integers(64, 256, groups).astype(np.uint8),
                rng.integers(0, 4, groups).astype(np.uint8) * np.uint8(chosen.special_code is not None),
                np.full(outputs, 1 / size, np.float32),
            )
    return quantized, floats


def _pruned(rng: np.random.Generator, codes: UInt8, format: Format) -> UInt8:
    """`codes` with zeros where the format's pattern wants some."""
    if format.sparse:
        return np.where(largest(rng.random(codes.shape, np.float32)), codes, np.uint8(0))
    if not format.kept:
        return codes
    outputs, inputs = codes.shape
    order = rng.random((outputs, inputs // format.of, format.of), np.float32).argsort(axis=-1)
    return np.where(order.reshape(codes.shape) < format.kept, codes, np.uint8(0))


def unit_scales(graph: DecoderGraph) -> list[CacheScales]:
    """Cache scales for keys and values of up to 4."""
    shape = (graph.attention.groups, graph.attention.size)
    scale = np.full(shape, 4 / LARGEST, np.float32)
    return [CacheScales(scale, scale)] * len(graph.layers)
