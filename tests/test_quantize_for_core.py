"""`einloom quantize -c`: what it writes is what `compile` takes, for the same model and a core of the same kind."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from einloom.cli import quantize as command
from einloom.compiled import compile
from einloom.mapping.pipeline import Compression, compile_model
from einloom.models.decoder_model import DecoderModel
from einloom.quantized_for_core import quantize_for_core
from einloom.spec.errors import InputError
from tests.cores import core_config, core_manifest
from tests.small_models import small_llama
from tests.tiny_llama import write_tiny_llama

CORE = {"engine": {"formats": ["bitmod-fp4", "bitmod-fp3"]}}
app = typer.Typer()
app.command()(command.quantize)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    return small_llama(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def file(model: DecoderModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "model.safetensors"
    quantize_for_core(model, core_config(**CORE), weights="auto:3.7", output=path)
    return path


def test_a_file_is_the_program_that_its_options_make(model: DecoderModel, file: Path) -> None:
    manifest = core_manifest(**CORE)
    given, bits = compile_model(model, manifest, Compression(weights="auto:3.7"))
    found, same_bits = compile_model(model, manifest, Compression(file=file))
    assert found.files() == given.files()
    assert bits == same_bits <= 3.7


def test_a_file_goes_with_every_core_of_its_kind(model: DecoderModel, file: Path) -> None:
    other = core_manifest(engine={**CORE["engine"], "rows": 2})
    program, _ = compile_model(model, other, Compression(file=file))
    assert program.digest == other.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": {"formats": ["int8"]}}, r"tensor .* is bitmod-fp[34], and the design takes int8: make a file"),
        ({"engine": {**CORE["engine"], "group": 64}}, r"tensor .* (has groups of 32|is .*), and the design "),
        (
            {**CORE, "core": {"cache_bits": 4}},
            r"its cache has 8 bits a number and static scales, not 4 bits a number and sta",
        ),
    ],
)
def test_a_core_of_another_kind_refuses_it(model: DecoderModel, file: Path, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_model(model, core_manifest(**changes), Compression(file=file))


def test_another_model_refuses_it(model: DecoderModel, file: Path) -> None:
    name = "model.norm.weight"
    other = replace(model, tensors={**model.tensors, name: model.tensors[name] * np.float32(2)})
    with pytest.raises(InputError, match="was made of another model"):
        compile_model(other, core_manifest(**CORE), Compression(file=file))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("cache.1.keys"), "must have the scales of 2 layers' caches"),
        (lambda t: t["cache.0.values"].__imul__(-1), "tensor cache.0.values: scales must be"),
    ],
)
def test_a_damaged_file_is_refused(model: DecoderModel, file: Path, tmp_path: Path, change, message: str) -> None:
    tensors = {name: array.copy() for name, array in load_file(file).items()}
    change(tensors)
    header = json.loads(file.read_bytes()[8 : 8 + int.from_bytes(file.read_bytes()[:8], "little")])
    save_file(tensors, tmp_path / "damaged.safetensors", header["__metadata__"])
    with pytest.raises(InputError, match=message):
        compile_model(model, core_manifest(**CORE), Compression(file=tmp_path / "damaged.safetensors"))


def test_options_that_do_not_go_together(model: DecoderModel, file: Path, tmp_path: Path) -> None:
    config = core_config(**CORE)
    with pytest.raises(InputError, match="is calibrated already: leave out --calibration"):
        compile(model, config, weights=str(file), calibration=tmp_path / "text")
    with pytest.raises(InputError, match="no.safetensors: cannot be read: No such file"):
        compile(model, config, weights=str(tmp_path / "no.safetensors"))
    with pytest.raises(InputError, match="is quantized already: name a format"):
        quantize_for_core(model, config, weights=str(file))
    with pytest.raises(InputError, match=r"q.bin: give the name of a file that ends with .safetensors"):
        quantize_for_core(model, config, output=tmp_path / "q.bin")


def test_the_command_writes_what_the_command_line_takes(tmp_path: Path) -> None:
    output = tmp_path / "q.safetensors"
    result = CliRunner().invoke(
        app, ["shakespeare-1m", "-c", "default", "-o", str(output), "--json"], catch_exceptions=False
    )
    report = json.loads(result.stdout)
    assert report["output"] == str(output)
    assert report["config"] == "default"
    assert {t["format"] for t in report["tensors"]} == {"bitmod-fp4"}
    assert 4 < report["total"]["bits_per_weight"] < 4.1
    assert 0 < report["total"]["nmse"] < 0.05
    assert compile(weights=str(output)).program.files() == compile().program.files()
    with pytest.raises(InputError, match="for a core give one --weights, and neither --group nor"):
        CliRunner().invoke(app, ["shakespeare-1m", "-c", "default", "--group", "32"], catch_exceptions=False)


SPARSE = {"kind": "sparse_dsp", "rows": 2, "columns": 8, "lanes": 8, "packing": "tokens"}


@pytest.mark.parametrize(("sparsity", "format"), [("2:4", "int2-2of4"), ("4:16", "int4-nof16"), ("2:16", "int4-nof16")])
def test_a_pattern_alone_names_the_first_of_the_cores_formats_that_keeps_it(
    sparsity: str, format: str, tmp_path: Path
) -> None:
    formats = ["int4", "int4-nof16", "int2-2of4", "bitmod-fp4-2of4"]
    assert quantized(tmp_path, sparsity, formats) == {format}


def test_a_pattern_that_no_format_of_the_core_keeps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--sparsity 2:8: sparse has none of int2-nof8, .* but int4-nof16$"):
        quantized(tmp_path, "2:8", ["int4-nof16"])


def quantized(folder: Path, sparsity: str, formats: list[str]) -> set[str]:
    """The formats of what the command writes for a core with `formats`."""
    core = core_config(engine={**SPARSE, "formats": formats}, core={"activation_words": 64})
    (folder / "sparse.yaml").write_text(yaml.safe_dump({**core.model_dump(mode="json"), "name": "sparse"}))
    write_tiny_llama(folder / "model", head_dim=32)
    arguments = [str(folder / "model"), "-c", str(folder / "sparse.yaml"), "--sparsity", sparsity, "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return {tensor["format"] for tensor in json.loads(result.stdout)["tensors"]}
