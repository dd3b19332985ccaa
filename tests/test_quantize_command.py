"""`einloom quantize` from the outside: what it prints, writes and refuses."""

import json
from time import sleep

import numpy as np
import pytest
import typer
from safetensors.numpy import save_file
from typer.testing import CliRunner

from einloom import quantized_model
from einloom.cli import quantize as command
from einloom.mapping.compress.storage import read_quantized
from einloom.spec.errors import InputError

app = typer.Typer()
app.command()(command.quantize)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    tensors = {f"layer.{n}.weight": rng.normal(size=(8, 256 >> n)).astype(np.float32) for n in range(2)}
    tensors["layer.1.weight"] *= rng.lognormal(size=128).astype(np.float32)
    save_file(tensors | {"norm.weight": np.ones(8, np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


def run(*args):
    result = CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False)
    assert result.exit_code == 0
    return result


def test_json_is_one_object_on_stdout(folder):
    result = run(folder, "--json")
    report = json.loads(result.stdout)
    assert [t["name"] for t in report["tensors"]] == ["layer.0.weight", "layer.1.weight"]
    assert {t["format"] for t in report["tensors"]} == {"bitmod-fp4"}
    assert report["total"]["bits_per_weight"] == report["tensors"][0]["bits_per_weight"] == 4 + 10 / 128
    errors = [t["nmse"] for t in report["tensors"]]
    assert min(errors) < report["total"]["nmse"] < max(errors) < 0.03
    assert report["totals"] == {"bitmod-fp4": report["total"]}
    assert (report["group"], report["scale_search"], report["output"]) == (128, False, None)


def test_several_formats_side_by_side(folder):
    args = (folder, "--weights", "int4,bitmod-fp4", "--weights", "int4", "--group", 32)
    report = json.loads(run(*args, "--json").stdout)
    assert list(report["totals"]) == ["int4", "bitmod-fp4"]
    assert report["total"] == report["totals"]["int4"]
    lines = run(*args).stdout.splitlines()
    last_table = lines[lines.index(next(line for line in lines if line.strip() == "in total")) :]
    rows = [line.split()[1] for line in last_table if line.startswith("│")]
    assert rows == ["bitmod-fp4", "int4"]


def test_tables_go_from_best_to_worst(folder):
    lines = run(folder).stdout.splitlines()
    rows = [line.strip("│ ").split() for line in lines if line.startswith("│")]
    assert [row[0] for row in rows] == ["layer.0.weight", "layer.1.weight", "total"]
    assert float(rows[0][4]) < float(rows[1][4])
    assert {row[2] for row in rows} == {"4.0781"}


def test_scale_search_lowers_the_error(folder):
    plain, searched = (json.loads(run(folder, "--json", *more).stdout) for more in ([], ["--scale-search"]))
    assert searched["total"]["nmse"] < plain["total"]["nmse"]


def test_output_holds_what_was_reported(folder, tmp_path):
    output = tmp_path / "q.safetensors"
    result = run(folder, "-o", output, "--group", 64)
    assert result.stderr == f"wrote {output}\n"
    assert {name: t.group for name, t in read_quantized(output).tensors.items()} == {
        "layer.0.weight": 64,
        "layer.1.weight": 64,
    }
    with pytest.raises(InputError, match="is quantized already; start from the original model"):
        run(output)


def refusal(*args):
    with pytest.raises(InputError) as caught:
        run(*args)
    return str(caught.value)


def test_refusals_come_before_the_work(folder, monkeypatch):
    def never(*_args, **_options):
        raise AssertionError("worked before refusing")

    monkeypatch.setattr(quantized_model, "quantize_matrix", never)
    model = folder / "model.safetensors"
    assert refusal(folder, "--weights", "int9").startswith("unknown format 'int9', did you mean ")
    expected = f"{model}: tensor layer.0.weight: a group of 96 doesn't divide the 256 inputs: use a group of 128"
    assert refusal(folder, "--group", 96) == expected
    assert refusal(folder, "-o", model) == f"{model}: is the model itself: give another name"
    assert refusal(folder, "-o", folder) == f"{folder}: is a folder: give the name of a file"
    expected = "q: takes one format, but --weights names 2: write one file for each"
    assert refusal(folder, "-o", "q", "--weights", "int3,int4") == expected


@pytest.mark.parametrize(("after", "shown"), [(60, False), (0, True)], ids=["short work", "long work"])
def test_the_bar_comes_only_when_work_is_long(monkeypatch, capsys, after, shown):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if stderr were a terminal
    monkeypatch.setattr(command, "BAR_AFTER", after)
    with command._progress_bar("quantizing") as progress:
        sleep(0.3)
        progress(5, 10)
    assert ("quantizing" in capsys.readouterr().err) == shown


def test_sparsity_keeps_n_of_m(folder):
    report = json.loads(run(folder, "--weights", "int4", "--sparsity", "4:16", "--json").stdout)
    assert {t["format"] for t in report["tensors"]} == {"int4-nof16"}
    assert report["total"]["bits_per_weight"] == (4 + 4) * 4 / 16 + 8 / 128
    assert json.loads(run(folder, "--sparsity", "2:4", "--json").stdout)["tensors"][0]["format"] == "bitmod-fp4-2of4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sparsity", "half"), r"--sparsity is N:M with an M of 4, 8, 16, not 'half'"),
        (("--sparsity", "3:8"), r"keeps 3 of 8: N is a power of two below 8"),
        (("--weights", "ternary", "--sparsity", "2:4"), r"'ternary' has no sparse form"),
        (("--weights", "int4-4of16,int4-8of16"), r"int4-4of16, int4-8of16: give one of these at a time"),
    ],
)
def test_sparsity_that_there_is_not_is_refused(folder, arguments, message):
    with pytest.raises(InputError, match=message):
        run(folder, *arguments)
