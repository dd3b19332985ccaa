"""einloom/cli/run.py: options, figures and errors, on the golden backend."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from einloom.cli.locate import default_model, find_config, shipped_configs
from einloom.cli.run import run
from einloom.cli.run_report import report_of
from einloom.config import Config
from einloom.errors import CheckFailed, EinloomError, InputError
from mapping.compress.for_engine import quantize_for_engine
from mapping.importer.huggingface import load_llama
from sim.bench.attention import AttentionOutcome
from sim.device import Counters, GoldenDevice
from sim.golden.agreement import Agreement
from sim.golden.generate import Generation
from tests.tiny_llama import write_tiny_llama

BITMOD = """\
name: tiny
engine:
  kind: bitmod
  rows: 4
  columns: 8
  formats: [bitmod-fp4]
  group: 32
memory:
  channels: 2
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_llama(tmp_path / "model")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(BITMOD)
    return path


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(run)
    return app


def golden(app: typer.Typer, *arguments: object):
    return CliRunner().invoke(app, ["--backend", "golden", *map(str, arguments)])


def refusal(app: typer.Typer, *arguments: object) -> str:
    """The sentence that ends the command; nothing may be on stdout."""
    result = golden(app, *arguments)
    assert isinstance(result.exception, EinloomError)
    assert result.exception.exit_code == 2
    assert result.stdout == ""
    return str(result.exception)


def test_json_is_one_object(app: typer.Typer, model: Path, config: Path) -> None:
    result = golden(app, model, "-c", config, "-p", "To be", "-n", 4, "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["text"].startswith("To be")
    assert (told["tokens"], told["prompt_tokens"], len(told["token_ids"])) == (4, 5, 4)
    assert told["linear_layers"] == 4 * (2 * 7 + 1)
    assert 0 <= told["top1_agreement"] <= 1
    assert told["kl"] > 0
    assert told["seconds"] > 0
    assert told["bits_per_weight"] == pytest.approx(4 + 10 / 32)
    for unmeasured in ("bit_exact", "cycles_per_token", "utilisation", "beat_share", "cycles_per_second"):
        assert told[unmeasured] is None


def test_text_and_table(app: typer.Typer, model: Path, config: Path) -> None:
    result = golden(app, model, "-c", config, "-p", "[b]To be[/b]", "-n", 2)
    assert result.exit_code == 0
    assert result.stdout.startswith("[b]To be[/b]")
    for words in ("tiny on the golden backend", "2 after 12 of the prompt", "n/a", "bits per weight", "top-1"):
        assert words in result.stdout
    assert "checked bit for bit" not in result.stdout


def test_the_same_seed_gives_the_same_text(app: typer.Typer, model: Path, config: Path) -> None:
    def text(*options: object) -> str:
        return json.loads(golden(app, model, "-c", config, "-n", 12, "--json", *options).stdout)["text"]

    sampled = text("--temperature", 3, "--seed", 5)
    assert sampled == text("--temperature", 3, "--seed", 5)
    assert sampled != text("--temperature", 3, "--seed", 6)
    assert text() == text("--seed", 6)


def test_int8_follows_the_float_model(app: typer.Typer, model: Path) -> None:
    told = json.loads(golden(app, model, "-c", "int-mac-16x16", "-n", 8, "--json").stdout)
    assert told["config"] == "int-mac-16x16"
    assert told["bits_per_weight"] == 8
    assert told["top1_agreement"] >= 0.7
    assert told["kl"] < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", ""], "the prompt is empty: give at least one character"),
        (["-p", "x" * 33], "the prompt has 33 tokens, but the model's context is 32"),
        (["-n", 0], "--tokens must be at least 1, not 0"),
        (["--temperature", "-1"], "--temperature must be 0 or a positive number, not -1.0"),
        (["--temperature", "nan"], "--temperature must be 0 or a positive number, not nan"),
        (["--seed", "-1"], "--seed must be 0 or more, not -1"),
    ],
)
def test_bad_options(app: typer.Typer, model: Path, config: Path, options: list[object], message: str) -> None:
    assert refusal(app, model, "-c", config, *options) == message


def test_bad_models(app: typer.Typer, tmp_path: Path, config: Path) -> None:
    assert refusal(app, tmp_path / "nowhere", "-c", config) == f"{tmp_path / 'nowhere'}: no such model folder"
    uneven = write_tiny_llama(tmp_path / "uneven", intermediate_size=80)
    told = refusal(app, uneven, "-c", config)
    assert re.match(r"tensor model\.layers\.0\.mlp\.down_proj\.weight: a group of 32 doesn't divide .* 80 inputs", told)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("group: 32", "group: 32\n  max_inputs: 64", "its 96 inputs are more than engine.max_inputs, 64"),
        ("group: 32", "group: 32\n  max_tiles: 11", "its 256 outputs are 32 tiles, more than engine.max_tiles, 11"),
    ],
)
def test_models_too_large(app: typer.Typer, model: Path, config: Path, old: str, new: str, message: str) -> None:
    config.write_text(BITMOD.replace(old, new))
    assert refusal(app, model, "-c", config).endswith(f".weight: {message}")


def test_inputs_must_fill_the_lanes() -> None:
    engine = Config.model_validate({"name": "x", "engine": {"kind": "int_mac", "lanes": 4}}).engine
    with pytest.raises(InputError, match=r"^tensor w: its 6 inputs are not a multiple of engine\.lanes, 4$"):
        quantize_for_engine(engine, {"w": np.ones((2, 6), np.float32)})


def test_fp16_activations(app: typer.Typer, model: Path, config: Path) -> None:
    config.write_text(BITMOD.replace("group: 32", "group: 32\n  activations: fp16"))
    assert refusal(app, model, "-c", config) == (
        "config tiny: engine.activations is fp16, but `einloom run` computes with int8 activations only"
    )


def test_a_mismatch_is_told_in_json_too(
    app: typer.Typer, model: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differ(_self: GoldenDevice, name: str, _activations: object) -> None:
        raise CheckFailed(f"{name}: output [0, 3] is 5, but golden says 4")

    monkeypatch.setattr(GoldenDevice, "linear", differ)
    result = golden(app, model, "-c", config, "--json")
    assert isinstance(result.exception, CheckFailed)
    told = json.loads(result.stdout)
    assert told["bit_exact"] is False
    assert "golden says 4" in told["error"]


def test_figures_of_a_clocked_device(model: Path, config: Path) -> None:
    llama, design = load_llama(model), find_config(str(config))
    report = report_of(
        llama,
        design,
        quantize_for_engine(design.engine, llama.linears),
        Generation((65,), (66, 67), np.zeros((2, 256), np.float32)),
        backend="rtl",
        agreement=Agreement(0.5, 0.25),
        counters=Counters(jobs=30, cycles=1000, beats=1500, macs=16000),
        peak_macs_per_cycle=64.0,
        linear_layers=30,
        attention_jobs=4,
        attention=AttentionOutcome(cycles=800, busy=200, row_busy=100, unread=0),
        seconds=0.5,
    )
    assert report.bit_exact is True
    assert report.cycles_per_token == 500
    assert report.utilisation == 0.25
    assert report.beat_share == 0.75  # of two channels
    assert report.cycles_per_second == 2000
    assert report.attention_cycles_per_token == 400
    assert report.attention_utilisation == 0.25


def test_configs_are_found_by_name_and_by_path(config: Path) -> None:
    assert {"default", "bitmod-8x8", "int-mac-16x16"} <= shipped_configs().keys()
    assert all(find_config(name).name == name for name in shipped_configs())
    assert find_config(str(config)).name == "tiny"
    assert default_model().parts[-3:] == ("examples", "models", "shakespeare-1m")


@pytest.mark.parametrize(
    ("name", "near"),
    [("defualt", ", did you mean 'default'?"), ("some/bitmod-8x9.yaml", ", did you mean"), ("zzz", "")],
)
def test_unknown_configs(name: str, near: str) -> None:
    rule = re.escape(f"{name}: neither a config file nor a shipped config{near}")
    with pytest.raises(InputError, match=rf"^{rule}.*; shipped: .*default, .*int-mac-16x16$"):
        find_config(name)
