"""Distillation: its gradient's model is the float decoder, and what it makes is nearer to the float model."""

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from einloom.compiled import compile as compile_model
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.balance import balanced
from einloom.mapping.compress.distil import BATCH, HELD_OUT, RATES, WINDOW, distil, divergence
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.mapping.compress.straight_through import TrainedMatrix
from einloom.mapping.pipeline import Compression, compress_model
from einloom.models.agreement import agreement_with_float
from einloom.models.calibration_texts import conversations
from einloom.models.decoder_model import DecoderModel
from einloom.models.importer.huggingface import load_folder
from einloom.quantized_for_core import quantize_for_core
from einloom.spec.errors import InputError, ToolError
from einloom.spec.formats import FORMATS, format_named
from einloom.spec.quantized import QuantizedTensor
from tests.cores import core_config, core_manifest
from tests.families import write_family
from tests.marks import slow
from tests.rounded import quantize_for_engine
from tests.small_models import golden_decoder, small_llama

CORE: dict[str, Any] = {"engine": {"formats": ["bitmod-fp3", "int4"]}}
ALL_PARTS = ("gpt2", slow("gemma2"), slow("bitnet"))
"""Families that have, together, norms of all kinds and places, caps, windows, biases and learnt positions."""
jax.config.update("jax_disable_most_optimizations", True)  # functions run a few times, and compile for seconds


def text(characters: int) -> str:
    rng = np.random.default_rng(5)
    return "".join(chr(c) for c in rng.integers(97, 122, characters))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    return small_llama(tmp_path_factory.mktemp("model"), num_hidden_layers=1)


@pytest.mark.parametrize("name", ALL_PARTS)
def test_the_first_loss_is_the_float_decoders(name: str, tmp_path: Path) -> None:
    """Before anything was trained, the differentiable model and NumPy's decoder measure the same divergence."""
    model, manifest = load_folder(write_family(tmp_path, name)[0]), core_manifest(**CORE)
    sizes = PaddedSizes.of(model.graph, manifest.core)
    tensors = quantize_for_engine(manifest.config.gemm, sizes.linears(model.graph, model.linears))
    windows = np.random.default_rng(2).integers(3, 250, (BATCH + HELD_OUT, 24))
    losses = list[float]()
    found = distil(model, sizes, tensors, windows, 1, on_step=lambda _, loss: losses.append(loss))
    trained_on = np.delete(windows, [1, 2], axis=0)
    assert losses[0] == pytest.approx(divergence(model, sizes, tensors, {}, trained_on), rel=1e-3)
    assert found.before == pytest.approx(divergence(model, sizes, tensors, {}, windows[1:3]), rel=1e-6)


@pytest.mark.parametrize("kinds", [("u",), slow(("t", "norm"))], ids=" and ".join)
def test_what_is_trained_alone_lowers_the_loss(
    kinds: tuple[str, ...], model: DecoderModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = core_manifest(**CORE)
    sizes = PaddedSizes.of(model.graph, manifest.core)
    compressed = compress_model(model, manifest, Compression("bitmod-fp3"))
    ready = balanced(model, compressed.balance)
    for other in RATES:
        monkeypatch.setitem(RATES, other, 0.01 * (other in kinds))
    losses = list[float]()
    windows = np.random.default_rng(2).integers(97, 122, (BATCH + HELD_OUT, 32))
    distil(ready, sizes, compressed.tensors, windows, 12, on_step=lambda _, loss: losses.append(loss))
    assert losses[-1] < 0.97 * losses[0]


def test_a_distilled_file_is_nearer_to_the_float_model_on_a_core(model: DecoderModel, tmp_path: Path) -> None:
    """All that a file keeps of it, factors of norms too, comes back: golden is as near as the held-out text says.

    Training that goes on with the file begins where it ended.
    """
    (tmp_path / "text").write_text(text(2000))
    config, agreed = core_config(**CORE), list[float]()
    for steps in (0, 40):
        file = tmp_path / f"{steps}.safetensors"
        found = quantize_for_core(
            model, config, weights="bitmod-fp3", calibration=tmp_path / "text", distil=steps, output=file
        )
        compiled = compile_model(model, config, weights=str(file))
        tokens = model.encode(text(30))
        logits = golden_decoder(compiled.program, compiled.manifest).step(tokens)
        agreed.append(agreement_with_float(model, tokens, logits).kl)
    assert found.distilled is not None
    before, after = found.distilled
    assert after < 0.95 * before
    assert agreed[1] < agreed[0]
    further = quantize_for_core(model, config, weights=str(file), calibration=tmp_path / "text", distil=1)
    assert further.distilled is not None
    assert further.distilled[0] == pytest.approx(after, rel=1e-3)


def test_without_a_text_a_model_that_chats_is_trained_on_its_own_conversations(model: DecoderModel) -> None:
    chatting, losses = replace(model, chat_template="{{ messages[0].role }}: {{ messages[0].content }}"), list[float]()
    config = core_config(**CORE)
    found = quantize_for_core(
        chatting, config, weights="bitmod-fp3", distil=2, on_step=lambda _, loss: losses.append(loss)
    )
    tokens = (2 * BATCH + HELD_OUT) * WINDOW
    written = conversations(chatting, tokens, length=WINDOW)
    again = compress_model(chatting, core_manifest(**CORE), Compression("bitmod-fp3", written))
    assert written.startswith("user: ")
    assert len(losses) == 2
    assert found.compressed.balance.keys() >= again.balance.keys()


def test_training_that_does_harm_is_left_out(model: DecoderModel, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = core_manifest(**CORE)
    sizes = PaddedSizes.of(model.graph, manifest.core)
    tensors = quantize_for_engine(manifest.config.gemm, sizes.linears(model.graph, model.linears))
    for kind in RATES:
        monkeypatch.setitem(RATES, kind, 5.0)
    found = distil(model, sizes, tensors, np.random.default_rng(2).integers(97, 122, (BATCH + HELD_OUT, 16)), 2)
    assert found.after > found.before
    assert found.tensors is tensors
    assert found.norms == {}


TENSORS = {
    "bitmod-fp4": lambda w: quantize(w, FORMATS["bitmod-fp4"], 32),
    "bitmod-fp3, one group": lambda w: quantize(w, FORMATS["bitmod-fp3"], 64),
    "int4": lambda w: quantize(w, FORMATS["int4"], 32),
    "ternary": lambda w: quantize(w, FORMATS["ternary"], 32),
    "int8 of rows": lambda w: quantize_per_channel(w, FORMATS["int8"]),
    "two of four": lambda w: quantize(w, format_named("int4-2of4"), 32),
}


@pytest.mark.parametrize("name", TENSORS)
def test_without_training_a_matrix_stays_as_it_is(name: str) -> None:
    weights = np.random.default_rng(1).normal(size=(24, 64)).astype(np.float32)
    weights[3], weights[5, :32] = 0, 0
    tensor: QuantizedTensor = TENSORS[name](weights)
    matrix = TrainedMatrix(tensor, weights)
    found = matrix.finished(**matrix.start())
    np.testing.assert_array_equal(found.codes, tensor.codes)
    np.testing.assert_allclose(found.dequantize(), tensor.dequantize(), rtol=5e-3)


def test_pruned_weights_stay_zero_and_steps_move() -> None:
    weights = np.random.default_rng(1).normal(size=(8, 64)).astype(np.float32)
    tensor = quantize(weights, format_named("int4-2of4"), 32)
    matrix = TrainedMatrix(tensor, weights)
    start = matrix.start()
    found = matrix.finished(start["u"] + 3, start["t"] + np.float32(np.log(2)))
    assert ((found.codes == 0) >= (tensor.values() == 0)).all()
    ratio = found.channel_scale[:, None] * found.scales / (tensor.channel_scale[:, None] * tensor.scales)
    np.testing.assert_allclose(ratio, 2, rtol=5e-3)


def test_what_is_missing_is_said(model: DecoderModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text(text(100))
    with pytest.raises(InputError, match="no chat template, so it can't write conversations: give it a text"):
        quantize_for_core(model, core_config(**CORE), distil=3)
    with pytest.raises(InputError, match="has 100 tokens: give at least 128"):
        quantize_for_core(model, core_config(**CORE), distil=3, calibration=tmp_path / "text")
    there = builtins.__import__

    def without_jax(name: str, values: Any = None, here: Any = None, names: Any = (), level: int = 0) -> Any:
        if "distil" in (names or ()):
            raise ImportError(name)
        return there(name, values, here, names, level)

    monkeypatch.setattr(builtins, "__import__", without_jax)
    with pytest.raises(ToolError, match=r'pip install "einloom\[distil\]"'):
        quantize_for_core(model, core_config(**CORE), distil=3, calibration=tmp_path / "text")
