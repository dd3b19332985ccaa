"""Families of models: what is imported, that the float decoder is transformers', and that programs are golden's.

A family has one line in tests/families.py.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from einloom.catalogue import load_config
from einloom.generators.design import Design
from einloom.generators.registry import describe
from einloom.mapping.codegen.decoder import compile_decoder
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.fit import require_fit
from einloom.models.cache_scales import CacheScales
from einloom.models.calibrate import calibrate
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears
from einloom.sim.device_linears import quantize_activations
from einloom.spec.errors import InputError
from einloom.spec.program import Program
from einloom.spec.quantized import QuantizedTensor
from tests.core_bed import Bed, core_config, core_design
from tests.families import FAMILIES, WINDOW, keys_of, write_family
from tests.quantized_cache import QuantizedCache
from tests.rounded import quantize_for_engine, with_short_embedding
from tests.small_models import golden_decoder
from tests.tiny_llama import byte_tokenizer

Floats = npt.NDArray[np.float32]
TOKENS = [int(token) for token in np.random.default_rng(3).integers(3, 250, 40)]
PROMPT, DECODED = TOKENS[:21], TOKENS[21:23]
"""More tokens than a chunk of the default core and than a window."""
RUNNABLE = [name for name in FAMILIES if name != "gemma2"]
"""The array computes no soft cap of scores."""
CHECKED = ("gemma3", "gpt2", "olmo2", "bitnet")
"""Those whose programs are held against their regions and permits and run on RTL, which takes seconds: all that code
generation emits is in one of them. The others run on RTL in the slow tests."""


@pytest.mark.parametrize("name", FAMILIES)
def test_the_float_decoder_is_that_of_transformers(name: str, tmp_path: Path) -> None:
    """Relative to the largest logit, 1e-4; on a text that is longer than the window, in two pieces."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    keys = keys_of(name)
    config = transformers.AutoConfig.for_model(keys.pop("model_type"), **keys)
    reference = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in reference.parameters():
            noise = 0.2 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(parameter + noise if parameter.ndim == 1 else noise)
        expected = reference(torch.tensor([TOKENS])).logits[0].numpy()
    reference.save_pretrained(tmp_path)
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    model = load_folder(tmp_path)
    decoder = Decoder(model, FloatLinears(model.linears))
    assert len(TOKENS) > 2 * WINDOW
    found = np.concatenate([decoder.step(TOKENS[:25]), *(decoder.step([token]) for token in TOKENS[25:])])
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", FAMILIES)
def test_tensors_come_back_under_canonical_names(name: str, tmp_path: Path) -> None:
    folder, tensors = write_family(tmp_path, name)
    model = load_folder(folder)
    assert model.tensors.keys() == tensors.keys()
    for key, values in tensors.items():
        np.testing.assert_allclose(model.tensors[key], values, rtol=0, atol=1e-6, err_msg=key)


@pytest.fixture(scope="module")
def design() -> Design:
    return core_design(core_config())


@dataclass(frozen=True)
class Compiled:
    """A model on a small core: its matrices there, the cache's scales, and its program."""

    model: DecoderModel
    tensors: Mapping[str, QuantizedTensor]
    scales: Sequence[CacheScales]
    program: Program


@pytest.fixture(scope="module", params=RUNNABLE)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, design: Design) -> Compiled:
    """A family's model on a small core."""
    folder, _ = write_family(tmp_path_factory.mktemp("model"), request.param)
    model, manifest = load_folder(folder), design.manifest
    require_fit(model.graph, manifest)
    linears = PaddedSizes.of(model.graph, manifest.core).linears(model.graph, model.linears)
    tensors = quantize_for_engine(manifest.config.gemm, linears)
    scales = calibrate(model, manifest.core.cache.largest_element)
    program = compile_decoder(model.graph, tensors, model.tensors, scales, manifest, check=request.param in CHECKED)
    return Compiled(model, tensors, scales, program)


class Int8Linears:
    """Linear layers on activations of 8 bits with a scale per token."""

    def __init__(self, matrices: Mapping[str, Floats]) -> None:
        self._matrices = matrices

    def __call__(self, name: str, x: Floats) -> Floats:
        codes, scales = quantize_activations(x)
        sums: Floats = (codes * scales[:, None]) @ self._matrices[name].T
        return sums


def test_golden_is_near_the_float_decoder(compiled: Compiled, design: Design) -> None:
    """On the same weights, activations, keys and values of few bits. What is left are codes that round the other way,
    and what attention's integers round: the RMS error of logits is below 3 % of their RMS value."""
    manifest = design.manifest
    cache = QuantizedCache(compiled.scales, manifest.core.cache_bits)
    model, sizes = compiled.model, PaddedSizes.of(compiled.model.graph, manifest.core)
    matrices = {t.name: sizes.cut(t, compiled.tensors[t.name].dequantize()) for t in model.graph.linears()}
    expected = Decoder(with_short_embedding(model), Int8Linears(matrices), cache).step(TOKENS[:23])
    decoder = golden_decoder(compiled.program, manifest)
    rows = manifest.gemm.rows  # a step has the logits of its last chunk
    found = np.concatenate([decoder.step(TOKENS[n : min(n + rows, 23)]) for n in range(0, 23, rows)])
    assert np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)) <= 0.03


@pytest.mark.parametrize(
    "compiled",
    [name if name in CHECKED else pytest.param(name, marks=pytest.mark.slow) for name in RUNNABLE],
    indirect=True,
)
def test_rtl_is_golden(compiled: Compiled, design: Design) -> None:
    """Every logit and every byte of memory, after a prompt and two more tokens."""
    bed = Bed(design, compiled.program)
    try:
        bed.check_text(PROMPT, DECODED)
    finally:
        bed.close()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("opt", {"do_layer_norm_before": False}, "do_layer_norm_before: must be True, not False: einloom computes no"),
        (
            "opt",
            {"word_embed_proj_dim": 32},
            "word_embed_proj_dim must be hidden_size, 60: embeddings are not projected",
        ),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention: must be False, not True: einloom computes no"),
        ("gpt2", {"layer_norm_epsilon": 0}, "layer_norm_epsilon: Input should be greater than 0 (given: 0)"),
        ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional_attention: must be False, not True: ein"),
        ("gemma", {"hidden_act": "silu"}, "hidden_act: must be 'gelu' or 'gelu_pytorch_tanh', not 'silu': einloom com"),
        ("gemma3", {"model_type": "gemma3"}, "model_type: must be one of 'bitnet', 'gemma', 'gemma2', 'gemma3_text', "),
        ("gemma3", {"layer_types": ["full_attention"]}, "layer_types has 1 entries for 2 layers"),
        ("mistral", {"layer_types": ["chunked_attention"] * 2}, "layer_types.0: must be 'full_attention' or 'sliding_"),
        ("phi3", {"rope_parameters": {"rope_type": "longrope"}}, "rope_type: must be 'default', 'linear', 'dynamic', "),
        (
            "bitnet",
            {"quantization_config": {"quant_method": "gptq"}},
            "quantization_config.quant_method: must be 'bitn",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_with_its_key(
    name: str, changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    folder, _ = write_family(tmp_path, name)
    path = folder / "config.json"
    path.write_text(json.dumps(keys_of(name) | changes))
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}"):
        load_folder(folder)


def test_soft_caps_of_scores_are_refused_by_the_core(tmp_path: Path) -> None:
    manifest = describe(load_config("default"))
    capped = load_folder(write_family(tmp_path / "a", "gemma2")[0])
    message = r"attn_logit_softcapping: the attention array computes no soft cap of scores$"
    with pytest.raises(InputError, match=message):
        require_fit(capped.graph, manifest)
    free, _ = write_family(tmp_path / "b", "gemma2", attn_logit_softcapping=None)
    require_fit(load_folder(free).graph, manifest)


def test_a_window_as_large_as_the_context_is_none(tmp_path: Path) -> None:
    for window, expected in ((47, 47), (48, 0), (None, 0)):
        folder, _ = write_family(tmp_path / str(window), "mistral", sliding_window=window)
        assert load_folder(folder).graph.attention.scores.window == expected
