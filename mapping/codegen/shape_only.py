"""Programs of models of which only the sizes are known."""

import numpy as np

from einloom.mapping.codegen.llama import compile_llama
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.models.cache_scales import CacheScales
from einloom.models.importer.huggingface import EMBEDDING, tensor_shapes
from einloom.models.importer.llama_config import LlamaConfig
from einloom.spec.formats import FORMATS
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from einloom.spec.quantized import QuantizedTensor


def shape_only_program(config: LlamaConfig, manifest: Manifest) -> Program:
    """The program of any model of this config; its images are laid out, but are zeros that take no memory.

    InputError when no such model fits the design.
    """
    sizes, layout = PaddedSizes.of(config, manifest.core), manifest.core.gemm.weights
    floats, tensors = {}, {}
    for name, shape in tensor_shapes(config):
        if len(shape) == 1 or name == EMBEDDING:
            floats[name] = np.broadcast_to(np.float32(1), shape)
        if len(shape) == 2 and (name != EMBEDDING or config.tie_word_embeddings):
            outputs, inputs = sizes.matrix(config, name, shape[0])
            groups = (outputs, inputs // layout.block)
            tensors[name] = QuantizedTensor(
                FORMATS[layout.steps[0].format],
                layout.block,
                np.broadcast_to(np.uint8(0), (outputs, inputs)),
                np.broadcast_to(np.uint8(1), groups),
                np.broadcast_to(np.uint8(0), groups),
                np.broadcast_to(np.float32(1), (outputs,)),
            )
    scale = np.broadcast_to(np.float32(1), (config.num_key_value_heads, config.head_dim))
    scales = [CacheScales(scale, scale)] * config.num_hidden_layers
    return compile_llama(config, tensors, floats, scales, manifest, contents=False)
