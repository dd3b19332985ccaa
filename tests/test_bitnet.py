"""BitNet's files: ternary matrices packed in bytes, or rounded when they are read, and kept exactly on the way."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from einloom.catalogue import load_config
from einloom.generators.registry import describe
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.calibrated import quantize_calibrated
from einloom.models.calibration_texts import self_texts
from einloom.models.decoder_model import DecoderModel
from einloom.models.importer.huggingface import load_folder
from einloom.spec.errors import InputError
from tests.families import write_family

Floats = npt.NDArray[np.float32]
PACKED = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}
MATRIX = "model.layers.1.mlp.up_proj.weight"


def packed_model(folder: Path, **quantization: str) -> tuple[DecoderModel, dict[str, Floats]]:
    """A BitNet whose matrices are packed, four rows of codes in a byte; and what these should be."""
    config = PACKED | quantization
    write_family(folder, "bitnet", quantization_config=config)
    expected, stored = {}, dict(load_file(folder / "model.safetensors"))
    for name, values in list(stored.items()):
        if not name.endswith("_proj.weight"):
            continue
        scale = np.abs(values).mean(dtype=np.float32)
        codes = np.clip(np.rint(values / scale), -1, 1).astype(np.int8)
        quarters = (codes + 1).astype(np.uint8).reshape(4, -1, codes.shape[1])
        stored[name] = quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6
        over = config["linear_class"] == "bitlinear"
        stored[f"{name}_scale"] = np.array([1 / scale if over else scale], np.float32)
        expected[name] = codes * (np.float32(1) / stored[f"{name}_scale"] if over else scale)
    save_file(stored, folder / "model.safetensors")
    return load_folder(folder), expected


@pytest.mark.parametrize("linear_class", ["autobitlinear", "bitlinear"])
def test_packed_matrices_are_codes_times_their_scale(tmp_path: Path, linear_class: str) -> None:
    model, expected = packed_model(tmp_path, linear_class=linear_class)
    assert len(expected) == 14
    for name, values in expected.items():
        assert (model.tensors[name] == values).all(), name


def test_matrices_of_a_model_that_rounds_when_it_runs_are_rounded(tmp_path: Path) -> None:
    folder, tensors = write_family(tmp_path, "bitnet", quantization_config=PACKED | {"quantization_mode": "online"})
    model = load_folder(folder)
    mean = np.abs(tensors[MATRIX]).mean()
    assert len(np.unique(model.tensors[MATRIX])) == 3
    np.testing.assert_allclose(model.tensors[MATRIX], np.clip(np.rint(tensors[MATRIX] / mean), -1, 1) * mean, rtol=1e-6)
    assert len(np.unique(model.tensors["lm_head.weight"])) > 100


@pytest.mark.parametrize(("core", "error"), [("lut-ternary", 0.0), ("default", 2e-7)])
def test_ternary_weights_are_not_rounded_again(tmp_path: Path, core: str, error: float) -> None:
    """On cores whose format holds -1, 0 and 1: but for float32's rounding of the scale's parts, all is as it was."""
    model, expected = packed_model(tmp_path)
    manifest = describe(load_config(core))
    sizes = PaddedSizes.of(model.graph, manifest.core)
    engine = manifest.config.gemm
    formats = dict.fromkeys((tensor.name for tensor in model.graph.linears()), engine.weight_formats[0])
    found = quantize_calibrated(model, sizes, engine, self_texts(model), formats)
    matrices = {tensor.name: tensor for tensor in model.graph.linears()}
    for name, values in expected.items():
        kept = sizes.cut(matrices[name], found[name].dequantize())
        assert np.abs(kept - values).max() <= error * np.abs(values).max(), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({f"{MATRIX}_scale": None}, f"tensor {MATRIX} is packed, but there is no number {MATRIX}_scale beside it"),
        ({f"{MATRIX}_scale": np.zeros(1, np.float32)}, f"tensor {MATRIX}_scale must be above 0, not 0.0"),
        ({MATRIX: np.full((22, 60), 255, np.uint8)}, f"tensor {MATRIX} has codes that no ternary weight has"),
        ({MATRIX: np.zeros((21, 60), np.uint8)}, f"tensor {MATRIX} has the shape (84, 60), but config.json calls for"),
    ],
)
def test_damaged_packings_are_refused(tmp_path: Path, change: dict[str, np.ndarray | None], message: str) -> None:
    packed_model(tmp_path)
    stored = load_file(tmp_path / "model.safetensors") | change
    save_file({name: x for name, x in stored.items() if x is not None}, tmp_path / "model.safetensors")
    with pytest.raises(InputError) as error:
        load_folder(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: {message}")
