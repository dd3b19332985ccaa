"""Every shipped core takes a model whose sizes are no multiples of anything, with no edit of its config."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from einloom.catalogue import load_config, shipped_configs
from einloom.generators.registry import describe
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.balance import balanced
from einloom.mapping.pipeline import compress_model
from einloom.models.agreement import agreement
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears, Floats
from einloom.spec.manifest import Manifest
from einloom.spec.quantized import QuantizedTensor
from tests.small_models import compiled, golden_decoder
from tests.tiny_llama import write_tiny_llama

SIZES = {
    "hidden_size": 144,
    "intermediate_size": 172,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 16,
    "vocab_size": 515,
}
CORES = [name for name in shipped_configs() if load_config(name).core is not None]
TEXT = np.random.default_rng(1).integers(0, 515, 8).tolist()


@pytest.mark.parametrize("core", CORES)
def test_a_model_of_odd_sizes_runs_on_a_shipped_core(core: str, tmp_path: Path) -> None:
    manifest = describe(load_config(core))
    model = load_folder(write_tiny_llama(tmp_path / "model", **SIZES))
    decoder = golden_decoder(compiled(model, manifest), manifest)
    found = np.concatenate([decoder.step(TEXT[:5]), *(decoder.step([token]) for token in TEXT[5:])])
    compressed = compress_model(model, manifest)
    ready = balanced(model, compressed.balance)
    exact = Decoder(ready, FloatLinears(dequantized(ready, compressed.tensors, manifest))).step(TEXT)[-len(found) :]
    # Logits deviate by 2.5. A cache of four bits with fixed scales costs what docs/compression.md says of real models.
    assert agreement(exact, found).kl < (0.1 if manifest.core.cache.bits == 8 else 1.0)


def dequantized(model: DecoderModel, tensors: Mapping[str, QuantizedTensor], manifest: Manifest) -> dict[str, Floats]:
    """The matrices as the core's weights stand for them, in the model's own sizes: padding is taken away again."""
    sizes = PaddedSizes.of(model.graph, manifest.core)
    return {tensor.name: sizes.cut(tensor, tensors[tensor.name].dequantize()) for tensor in model.graph.linears()}
