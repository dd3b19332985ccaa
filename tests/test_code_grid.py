"""Checkpoints that were quantized before keep their codes in a format that has them."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from einloom.catalogue import load_config
from einloom.generators.registry import describe
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.balance import find_balance
from einloom.mapping.compress.calibrated import quantize_calibrated
from einloom.mapping.compress.code_grid import grid_steps
from einloom.mapping.compress.error_feedback import InputGram
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.models.importer.huggingface import load_folder
from einloom.spec.formats import FORMATS
from tests.families import write_family
from tests.test_quantized_checkpoints import GROUP, SIZES, packed

FILES = {
    "int2": ("int2", -2, 1),
    "int3": ("int3", -4, 3),
    "GPTQ, symmetric": ("int4", -8, 7),
    "AWQ, zero points": ("int5", -15, 15),
    "GGUF's Q8_0": ("int8", -127, 127),
    "ternary": ("ternary", -1, 1),
}
"""A format, and the lowest and the highest code that a file has."""


def stored(name: str, outputs: int = 48, inputs: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes [N, K] and steps [N, G] as a file has them, and the weights [N, K] that they stand for."""
    _, low, high = FILES[name]
    rng = np.random.default_rng(3)
    codes = np.clip(np.rint(rng.normal(0, high / 2, (outputs, inputs))), low, high).astype(int)
    steps = rng.uniform(0.01, 0.02, (outputs, inputs // GROUP)).astype(np.float16).astype(np.float32)
    return codes, steps, codes * np.repeat(steps, GROUP, axis=1)


@pytest.mark.parametrize("calibrated", [False, True], ids=["nearest", "calibrated"])
@pytest.mark.parametrize("name", FILES)
def test_codes_of_a_file_are_kept(name: str, calibrated: bool) -> None:
    codes, _, weights = stored(name)
    format = FORMATS[FILES[name][0]]
    gram = InputGram.of(np.random.default_rng(4).normal(size=(300, 128)).astype(np.float32)) if calibrated else None
    tensor = quantize(weights.astype(np.float32), format, GROUP, scale_search=True, gram=gram)
    kept = format.array[tensor.codes] == codes
    # Where no weight of a group is odd, twice the file's step holds it too.
    whole = np.gcd.reduce(np.abs(codes).reshape(len(codes), -1, GROUP), axis=2) == 1
    assert kept[np.repeat(whole, GROUP, axis=1)].all()
    assert whole.any()
    scales = tensor.dequantize()[codes != 0] / weights[codes != 0]
    assert np.abs(scales - 1).max() <= 0.5 / 127, "steps are 8-bit multiples of a channel's, here at least half of it"


def test_with_a_scale_for_each_channel_nothing_is_lost() -> None:
    codes = np.random.default_rng(5).integers(-8, 8, (20, 64))
    weights = (codes * np.linspace(0.01, 0.1, 20)[:, None]).astype(np.float32)
    tensor = quantize_per_channel(weights, FORMATS["int4"], scale_search=True)
    np.testing.assert_array_equal(FORMATS["int4"].array[tensor.codes], codes)
    np.testing.assert_allclose(tensor.dequantize(), weights, rtol=1e-6)


def test_other_weights_have_no_grid() -> None:
    weights = np.random.default_rng(6).normal(size=(400, 32)).astype(np.float32)
    weights[0] = 0
    for name in ("int4", "int8"):
        assert not grid_steps(weights, FORMATS[name]).any()
    _, _, held = stored("GPTQ, symmetric")
    assert not grid_steps(held.reshape(-1, GROUP).astype(np.float32), FORMATS["bitmod-fp4"]).any()


def test_a_code_beyond_the_formats_is_not_held() -> None:
    codes = np.array([[8.0, -8, 1, 3], [7, -8, 1, 3], [-9, 7, 1, 3]], np.float32)
    steps = grid_steps(codes * np.float32(0.3), FORMATS["int4"])
    np.testing.assert_allclose(steps, [0, 0.3, 0], rtol=1e-6)


def test_a_model_from_gptq_keeps_its_codes_when_calibrated(tmp_path: Path) -> None:
    config = {"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq"}
    write_family(tmp_path, "llama", quantization_config=config, **SIZES)
    tensors, rng = dict(load_file(tmp_path / "model.safetensors")), np.random.default_rng(8)
    codes = {}
    for name in [n for n in tensors if n.endswith("_proj.weight")]:
        outputs, inputs = tensors.pop(name).shape
        codes[name] = rng.integers(-8, 8, (outputs, inputs))
        groups, base = inputs // GROUP, name.removesuffix(".weight")
        tensors |= {
            f"{base}.qweight": np.ascontiguousarray(packed(codes[name] + 8, 4).T),
            f"{base}.qzeros": packed(np.full((groups, outputs), 7), 4),
            f"{base}.scales": rng.uniform(0.01, 0.02, (groups, outputs)).astype(np.float16),
        }
    save_file(tensors, tmp_path / "model.safetensors")
    model, manifest = load_folder(tmp_path), describe(load_config("core-dsp"))
    engine, format = manifest.config.gemm.model_copy(update={"group": GROUP}), FORMATS["int4"]
    sizes = PaddedSizes.of(model.graph, manifest.core)
    texts = rng.integers(model.graph.vocab, size=(4, 12))
    assert not {n for n in find_balance(model, engine, format, texts) if "layers" in n}
    matrices = {tensor.name: tensor for tensor in model.graph.linears()}
    found = quantize_calibrated(model, sizes, engine, texts, dict.fromkeys(matrices, format))
    for name, expected in codes.items():
        values = sizes.cut(matrices[name], format.array[found[name].codes].astype(np.float32))
        np.testing.assert_array_equal(values, expected, err_msg=name)
