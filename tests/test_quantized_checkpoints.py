"""Checkpoints whose matrices were quantized before: GPTQ, AWQ and 8-bit floats, single and in shards."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from einloom.models.importer.huggingface import load_folder
from einloom.spec.errors import InputError
from tests.families import write_family

Tensors = dict[str, npt.NDArray[Any]]
GROUP = 32
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "head_dim": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "attention_bias": False,
    "mlp_bias": False,
}
MATRIX = "model.layers.1.mlp.down_proj"
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""The output, of eight, whose code stands at each place of a word."""


def packed(codes: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.int32]:
    """Codes [..., n] as 32-bit words, the first one lowest."""
    per_word = 32 // bits
    words = np.zeros((*codes.shape[:-1], codes.shape[-1] // per_word), np.uint32)
    for n in range(codes.shape[-1]):
        words[..., n // per_word] |= codes[..., n].astype(np.uint32) << np.uint32(bits * (n % per_word))
    return words.view(np.int32)


def gptq(name: str, shape: tuple[int, int], rng: np.random.Generator, bits: int, order: bool) -> tuple[Tensors, Any]:
    """The tensors of a matrix, and the matrix itself, computed weight by weight."""
    outputs, inputs = shape
    groups = inputs // GROUP
    codes = rng.integers(0, 1 << bits, (inputs, outputs))
    zeros = rng.integers(1, 1 << bits, (groups, outputs))
    scales = rng.uniform(0.01, 0.1, (groups, outputs)).astype(np.float16)
    group = rng.permutation(np.arange(inputs) // GROUP) if order else np.arange(inputs) // GROUP
    matrix = np.array(
        [
            [np.float32(scales[group[k], n]) * (codes[k, n] - zeros[group[k], n]) for k in range(inputs)]
            for n in range(outputs)
        ],
        np.float32,
    )
    stored: Tensors = {
        f"{name}.qweight": np.ascontiguousarray(packed(codes.T, bits).T),
        f"{name}.qzeros": packed(zeros - 1, bits),
        f"{name}.scales": scales,
        f"{name}.g_idx": group.astype(np.int32),
        f"{name}.bias": np.zeros(outputs, np.float16),  # as AutoGPTQ writes it where there is none
    }
    return stored, matrix


def awq(name: str, shape: tuple[int, int], rng: np.random.Generator) -> tuple[Tensors, Any]:
    outputs, inputs = shape
    codes = rng.integers(0, 16, (inputs, outputs))
    zeros = rng.integers(0, 16, (inputs // GROUP, outputs))
    scales = rng.uniform(0.01, 0.1, zeros.shape).astype(np.float16)
    matrix = ((codes - np.repeat(zeros, GROUP, axis=0)) * np.repeat(scales.astype(np.float32), GROUP, axis=0)).T

    def words(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        return packed(values.reshape(len(values), -1, 8)[..., AWQ_ORDER].reshape(values.shape), 4)

    stored: Tensors = {f"{name}.qweight": words(codes), f"{name}.qzeros": words(zeros), f"{name}.scales": scales}
    return stored, matrix.astype(np.float32)


def fp8(
    name: str, shape: tuple[int, int], rng: np.random.Generator, block: tuple[int, int] | None
) -> tuple[Tensors, Any]:
    values = rng.normal(0, 50, shape).astype(ml_dtypes.float8_e4m3fn)
    matrix = values.astype(np.float32)
    if block is None:
        scale = np.array([rng.uniform(0.001, 0.01)], np.float32)
        return {f"{name}.weight": values, f"{name}.weight_scale": scale}, matrix * scale
    tiles = [-(-size // step) for size, step in zip(shape, block, strict=True)]
    scales = rng.uniform(0.001, 0.01, tiles).astype(np.float32)
    for row, column in np.ndindex(shape):
        matrix[row, column] *= scales[row // block[0], column // block[1]]
    return {f"{name}.weight": values, f"{name}.weight_scale_inv": scales}, matrix


KINDS: dict[str, tuple[dict[str, Any], Callable[..., tuple[Tensors, Any]], tuple[Any, ...]]] = {
    "gptq": ({"quant_method": "gptq", "bits": 4}, gptq, (4, False)),
    "gptq by activation order": ({"quant_method": "gptq", "bits": 4, "desc_act": True}, gptq, (4, True)),
    "gptq of 8 bits": ({"quant_method": "gptq", "bits": 8}, gptq, (8, False)),
    "gptq of 2 bits": ({"quant_method": "gptq", "bits": 2}, gptq, (2, False)),
    "awq": ({"quant_method": "awq", "bits": 4, "version": "gemm"}, awq, ()),
    "fp8 in blocks": ({"quant_method": "fp8", "weight_block_size": [40, 48]}, fp8, ((40, 48),)),
    "fp8": ({"quant_method": "fp8"}, fp8, (None,)),
}


def write(folder: Path, kind: str) -> tuple[Tensors, Tensors]:
    """A model with quantized projections in `folder`: what is stored, and the matrices that it stands for."""
    config, make, arguments = KINDS[kind]
    write_family(folder, "llama", quantization_config=config, **SIZES)
    stored, matrices = dict(load_file(folder / "model.safetensors")), Tensors()
    rng = np.random.default_rng(7)
    for name in [name for name in stored if name.endswith("_proj.weight")]:
        shape = stored.pop(name).shape
        tensors, matrices[name] = make(name.removesuffix(".weight"), shape, rng, *arguments)
        stored |= tensors
    save_file(stored, folder / "model.safetensors")
    return stored, matrices


@pytest.mark.parametrize("kind", KINDS)
def test_matrices_are_what_their_codes_stand_for(tmp_path: Path, kind: str) -> None:
    _, matrices = write(tmp_path, kind)
    model = load_folder(tmp_path)
    assert len(matrices) == 14
    for name, expected in matrices.items():
        np.testing.assert_array_equal(model.tensors[name], expected, err_msg=name)


def test_shards_of_fp8_are_read_like_one_file(tmp_path: Path) -> None:
    stored, matrices = write(tmp_path, "fp8 in blocks")
    (tmp_path / "model.safetensors").unlink()
    shards = {name: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, name in enumerate(sorted(stored))}
    for shard in set(shards.values()):
        save_file({name: stored[name] for name in stored if shards[name] == shard}, tmp_path / shard)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    model = load_folder(tmp_path)
    for name, expected in matrices.items():
        np.testing.assert_array_equal(model.tensors[name], expected, err_msg=name)


@pytest.mark.parametrize(
    ("kind", "part", "change", "message"),
    [
        ("gptq", "scales", None, f"tensor {MATRIX}.scales is missing, though {MATRIX}.weight is stored as codes"),
        ("gptq", "scales", np.ones((2, 64), np.float16), f"tensor {MATRIX}.qzeros does not have a zero point for each"),
        ("gptq", "qzeros", np.ones((3, 9), np.int32), f"tensor {MATRIX}.qzeros does not have a zero point for each"),
        ("gptq", "g_idx", np.full(96, 3, np.int32), f"tensor {MATRIX}.g_idx names groups beyond the 3 that"),
        ("gptq", "qweight", np.ones((12, 64), np.int64), f"tensor {MATRIX}.qweight is I64 [12, 64], not I32 with 2"),
        ("gptq", "qweight", np.ones((11, 64), np.int32), f"tensor {MATRIX}.weight has the shape (64, 88), but config"),
        ("gptq", "bias", np.ones(64, np.float16), f"{MATRIX}.bias"),
        ("awq", "scales", np.ones((3, 63), np.float16), f"tensor {MATRIX}.scales has the shape (3, 63), but"),
        ("fp8", "weight_scale", None, f"tensor {MATRIX}.weight_scale_inv is missing, though"),
        (
            "fp8",
            "weight_scale",
            np.ones(3, np.float32),
            f"tensor {MATRIX}.weight_scale has the shape (3,), which are no",
        ),
    ],
)
def test_a_part_that_is_not_as_it_should_be_is_named(
    tmp_path: Path, kind: str, part: str, change: npt.NDArray[Any] | None, message: str
) -> None:
    stored, _ = write(tmp_path, kind)
    stored.pop(f"{MATRIX}.{part}", None)
    if change is not None:
        stored[f"{MATRIX}.{part}"] = change
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=re.escape(message)):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quant_method": "bitsandbytes"}, "quantization_config.quant_method: must be 'gptq', 'awq' or 'fp8', not"),
        ({"bits": 3}, "quantization_config.bits: must be 2, 4 or 8, not 3"),
        ({"quant_method": "awq", "version": "gemv"}, "quantization_config.version: must be 'gemm' or 'GEMM', not"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_key(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write(tmp_path, "gptq")
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"] |= changes
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match=re.escape(message)):
        load_folder(tmp_path)
