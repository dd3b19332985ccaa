"""Programs of models of which only the sizes are known."""

import numpy as np

from einloom.mapping.codegen.decoder import compile_decoder
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.models.cache_scales import CacheScales
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.formats import FORMATS, Format
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from einloom.spec.quantized import QuantizedTensor


def shape_only_program(
    graph: DecoderGraph,
    manifest: Manifest,
    format: Format | None = None,
    context: int | None = None,
    schedule: Schedule = STANDARD,
) -> Program:
    """The program of any model of this graph; its images are laid out, but are zeros that take no memory.

    Its matrices are in `format`, the design's first one if None, and there is room for `context` positions, the model's
    own if None. Of a format that keeps N of M weights in each block N is 0. InputError when no such model fits the
    design.
    """
    format = format or FORMATS[manifest.gemm.weights.steps[0].format]
    sizes, layout = PaddedSizes.of(graph, manifest.core), manifest.core.gemm.weights
    floats = {tensor.name: np.broadcast_to(np.float32(1), tensor.shape) for tensor in graph.tensors()}
    tensors = {}
    for tensor in graph.linears():
        outputs, inputs = sizes.shape(tensor)
        groups = (outputs, inputs // layout.block)
        tensors[tensor.name] = QuantizedTensor(
            format,
            layout.block,
            np.broadcast_to(np.uint8(0), (outputs, inputs)),
            np.broadcast_to(np.uint8(1), groups),
            np.broadcast_to(np.uint8(0), groups),
            np.broadcast_to(np.float32(1), (outputs,)),
        )
    attention = graph.attention
    scale = np.broadcast_to(np.float32(1), (attention.groups, attention.size))
    scales = [CacheScales(scale, scale)] * len(graph.layers)
    return compile_decoder(graph, tensors, floats, scales, manifest, context=context, schedule=schedule, contents=False)
