"""mapping/compress/balance.py: the same model with inputs of like sizes, where that helps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from einloom.catalogue import load_config
from einloom.generators.registry import describe
from einloom.mapping.compress.balance import LARGEST, balanced, find_balance, relative_error, require_balance, sites
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.mapping.pipeline import Compression, compress_model
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears, Floats
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from tests.families import FAMILIES, write_family
from tests.tiny_llama import write_tiny_llama

TOKENS = list(range(20))


def logits(model: DecoderModel) -> Floats:
    return Decoder(model, FloatLinears(model.linears)).step(TOKENS)


@pytest.mark.parametrize("name", FAMILIES)
def test_any_factors_leave_a_model_what_it_computes(tmp_path: Path, name: str) -> None:
    model = load_folder(write_family(tmp_path, name)[0])
    rng = np.random.default_rng(3)
    factors = {
        site.name: np.exp2(rng.uniform(-3, 3, site.readers[0].inputs)).astype(np.float32) for site in sites(model.graph)
    }
    changed = balanced(model, factors)
    expected = logits(model)
    np.testing.assert_allclose(logits(changed), expected, atol=2e-4 * np.abs(expected).max())
    if factors:
        assert any((changed.tensors[n] != model.tensors[n]).any() for n in model.tensors if n in changed.tensors)


@pytest.fixture
def outliers(tmp_path: Path) -> DecoderModel:
    """A model with a few channels that are thirty times as large as the others."""
    model = load_folder(write_tiny_llama(tmp_path, hidden_size=64))
    factors = {
        site.name: np.where(np.arange(site.readers[0].inputs) % 29 == 0, 1 / 30, 1).astype(np.float32)
        for site in sites(model.graph)
    }
    return balanced(model, factors)


class RoundedInputs:
    """Float weights, and inputs of eight bits with one scale a token."""

    def __init__(self, model: DecoderModel) -> None:
        self._linears = FloatLinears(model.linears)

    def __call__(self, name: str, x: Floats) -> Floats:
        step = np.abs(x).max(axis=1, keepdims=True) / 127
        return self._linears(name, (np.rint(x / step) * step).astype(np.float32))


def error(model: DecoderModel) -> float:
    """Of eight-bit activations, relative to the logits."""
    expected = logits(model)
    found = Decoder(model, RoundedInputs(model)).step(TOKENS)
    return float(np.square(found - expected).mean() / np.square(expected).mean())


def test_large_channels_cost_less_once_they_are_balanced(outliers: DecoderModel) -> None:
    engine = describe(load_config("core-int8")).config.gemm
    factors = find_balance(outliers, engine, FORMATS["int8"], np.array([TOKENS] * 2))
    assert factors.keys() == {site.name for site in sites(outliers.graph)}
    assert all((values <= LARGEST).all() and (values >= 1 / LARGEST).all() for values in factors.values())
    assert error(balanced(outliers, factors)) < 0.3 * error(outliers)


def test_weights_of_two_bits_are_left_as_they_are_where_nothing_is_gained(tmp_path: Path) -> None:
    model = load_folder(write_tiny_llama(tmp_path, hidden_size=64))
    engine = describe(load_config("core-int8")).config.gemm
    few = find_balance(model, engine, FORMATS["int2"], np.array([TOKENS] * 2))
    many = find_balance(model, engine, FORMATS["int8"], np.array([TOKENS] * 2))
    assert sum(np.log(v).std() for v in few.values()) < sum(np.log(v).std() for v in many.values())


def test_matrices_that_the_format_holds_exactly_stay_as_they_are(outliers: DecoderModel) -> None:
    engine, format = describe(load_config("core-int8")).config.gemm, FORMATS["int8"]
    name = "model.layers.0.mlp.gate_proj.weight"
    exact = {name: quantize_per_channel(outliers.tensors[name], format).dequantize()}
    model = replace(outliers, tensors={**outliers.tensors, **exact})
    found, before = (find_balance(m, engine, format, np.array([TOKENS] * 2)).keys() for m in (model, outliers))
    assert before - found == {name.removesuffix(".weight")}


def test_ternary_matrices_stay_ternary(tmp_path: Path) -> None:
    config = {"quant_method": "bitnet", "quantization_mode": "online"}
    model = load_folder(write_family(tmp_path, "bitnet", quantization_config=config)[0])
    engine = describe(load_config("default")).config.gemm
    factors = find_balance(model, engine, FORMATS["bitmod-fp4"], np.array([TOKENS] * 2))
    assert not [name for name in factors if name.endswith("_proj")]


@pytest.mark.parametrize("name", ["int8", "int4", "bitmod-fp4", "bitmod-fp3", "ternary"])
def test_the_error_of_a_format_is_that_of_its_nearest_codes(name: str) -> None:
    """Up to what a scale of eight bits and one special value a group make of it."""
    weights = np.random.default_rng(5).normal(size=(64, 128)).astype(np.float32)
    found = quantize(weights, FORMATS[name], 128).dequantize()
    expected = np.square(found - weights).mean() / np.square(np.abs(weights).max(axis=1)).mean()
    assert relative_error(FORMATS[name], 128) == pytest.approx(expected, rel=0.5)


def test_factors_of_another_size_are_refused(outliers: DecoderModel) -> None:
    name = next(iter(sites(outliers.graph))).name
    with pytest.raises(InputError, match=rf"^file: has 3 factors for the inputs of {name}, not 64$"):
        require_balance(Path("file"), outliers.graph, {name: np.ones(3, np.float32)})
    with pytest.raises(InputError, match=r"^file: has 3 factors for the inputs of nothing, not 0$"):
        require_balance(Path("file"), outliers.graph, {"nothing": np.ones(3, np.float32)})


def test_a_compressed_model_keeps_its_factors(outliers: DecoderModel) -> None:
    compressed = compress_model(outliers, describe(load_config("core-int8")), Compression())
    assert compressed.balance
