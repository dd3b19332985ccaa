"""einloom/cli/run.py: options, figures and errors, on the golden backend."""

import json
import re
import shlex
import struct
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from einloom.catalogue import find_model, load_config, shipped_configs, shipped_models
from einloom.cli.run import run
from einloom.generators.registry import describe
from einloom.mapping.compress.for_engine import quantize_matrix
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.mapping.pipeline import compile_model
from einloom.models.agreement import Agreement
from einloom.models.importer.huggingface import load_folder
from einloom.models.text_generation import Generation
from einloom.run_report import JobTotals, report_of
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.config import Config
from einloom.spec.core_registers import counter_names
from einloom.spec.driver import Bytes, JobResult
from einloom.spec.errors import CheckFailed, EinloomError, InputError
from einloom.spec.formats import FORMATS
from einloom.spec.isa import CoreError
from einloom.spec.memory_ports import memory_ports
from tests.tiny_llama import write_tiny_llama

BITMOD = """\
name: tiny
engine:
  kind: bitmod
  rows: 4
  columns: 16
  formats: [bitmod-fp4]
  group: 32
memory:
  channels: 2
attention:
  kind: fusemax
  rows: 4
  columns: 2
core:
  lanes: 8
"""


PICOSECONDS_PER_CYCLE = 2000


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
    assert told["positions"] == 1 + 3  # the prompt's last chunk has one of its five tokens
    assert told["program_bytes"] == told["instructions"] * 32
    assert 0 <= told["top1_agreement"] <= 1
    assert told["kl"] > 0
    assert told["seconds"] > 0
    assert told["bits_per_weight"] == pytest.approx(4 + 10 / 32)
    assert 0 < told["padding"] < 0.5
    for unmeasured in ("bit_exact", "cycles_per_token", "utilisation", "beat_share", "cycles_per_second"):
        assert told[unmeasured] is None


def test_text_and_table(app: typer.Typer, model: Path, config: Path) -> None:
    result = golden(app, model, "-c", config, "-p", "[b]To be[/b]", "-n", 2)
    assert result.exit_code == 0
    assert result.stdout.startswith("[b]To be[/b]")
    for words in ("tiny on the golden backend", "2 after 12 of the prompt", "n/a", "bits per weight", "top-1"):
        assert words in result.stdout
    assert "in every bit" not in result.stdout


def test_the_same_seed_gives_the_same_text(app: typer.Typer, model: Path, config: Path) -> None:
    def text(*options: object) -> str:
        return json.loads(golden(app, model, "-c", config, "-n", 12, "--json", *options).stdout)["text"]

    sampled = text("--temperature", 3, "--seed", 5)
    assert sampled == text("--temperature", 3, "--seed", 5)
    assert sampled != text("--temperature", 3, "--seed", 6)
    assert text() == text("--seed", 6)


def test_int8_follows_the_float_model(app: typer.Typer, model: Path, config: Path) -> None:
    plain = BITMOD.replace("kind: bitmod\n", "kind: int_mac\n")
    config.write_text(plain.replace("  formats: [bitmod-fp4]\n  group: 32\n", ""))
    told = json.loads(golden(app, model, "-c", config, "-n", 8, "--json").stdout)
    assert told["bits_per_weight"] == 8
    assert told["top1_agreement"] >= 0.7
    assert told["kl"] < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", ""], "the prompt is empty: give at least one character"),
        (["-p", "x" * 33], "the prompt has 33 tokens, but the model's context is 32"),
        (["-n", 0], "--tokens must be at least 1, not 0"),
        (["--temperature", "-1"], "--temperature must be 0 or a positive number, not -1.0"),
        (["--temperature", "nan"], "--temperature must be 0 or a positive number, not nan"),
        (
            ["--top-p", "0", "--top-k", "-1"],
            "--top-k must be 0 or more, not -1; --top-p must be above 0 and at most 1, not 0.0",
        ),
        (["--speculate", "0"], "--speculate must be at least 1, not 0"),
        (
            ["--speculate", "99", "--backend", "golden"],
            "--speculate must be at most 4, the tokens that this design computes at once",
        ),
        (["--draft", "shakespeare-1m"], "--draft needs --speculate N, the tokens of a job, above 1"),
        (["--seed", "-1"], "--seed must be 0 or more, not -1"),
        (["--waves", "7"], "--waves must be FROM:TO, two cycles, not '7'"),
        (["--waves", "0:9"], "--waves needs a simulation, which --backend golden has not"),
        (["--memory", "dram"], "--memory must be ideal or hbm, not dram"),
        (["--memory", "hbm"], "--memory hbm needs a simulation, which --backend golden has not"),
        (["--clock", "300"], "--clock says how fast the core is beside an HBM: add --memory hbm"),
        (
            ["--clock", "1000", "--memory", "hbm", "--backend", "rtl"],
            "--clock must be 50 to 500 MHz, not 1000",
        ),
    ],
)
def test_bad_options(app: typer.Typer, model: Path, config: Path, options: list[object], message: str) -> None:
    assert refusal(app, model, "-c", config, *options) == message


def test_bad_models(app: typer.Typer, tmp_path: Path, config: Path) -> None:
    assert refusal(app, tmp_path / "nowhere", "-c", config) == f"{tmp_path / 'nowhere'}: no such model folder"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("group: 32", "group: 32\n  max_inputs: 64", "engine.max_inputs: 128 are needed, of 64"),
        ("group: 32", "group: 32\n  max_tiles: 11", "engine.max_tiles: 16 are needed for 256 outputs, of 11"),
    ],
)
def test_models_too_large(app: typer.Typer, model: Path, config: Path, old: str, new: str, message: str) -> None:
    config.write_text(BITMOD.replace(old, new))
    assert refusal(app, model, "-c", config) == f"the model does not fit tiny:\n  {message}"


def test_inputs_must_fill_the_lanes() -> None:
    engine = Config.model_validate({"name": "x", "engine": {"kind": "int_mac", "lanes": 4}}).engine
    with pytest.raises(InputError, match=r"^tensor w: its 6 inputs are not a multiple of engine\.lanes, 4$"):
        quantize_matrix(engine, "w", np.ones((2, 6), np.float32), engine.weight_formats[0])


def test_an_engine_is_not_enough(app: typer.Typer, model: Path) -> None:
    assert refusal(app, model, "-c", "bitmod-8x8") == (
        "config bitmod-8x8 builds an engine, not a core that could run a model: add the sections core and attention, "
        "or use another config"
    )


def test_a_mismatch_is_told_in_json_too(
    app: typer.Typer, model: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_self: GoldenDriver, _position: int, _length: int) -> JobResult:
        return JobResult(CoreError.RESPONSE, 7, {})

    monkeypatch.setattr(GoldenDriver, "run", stop)
    result = golden(app, model, "-c", config, "--json")
    assert isinstance(result.exception, CheckFailed)
    told = json.loads(result.stdout)
    assert told["bit_exact"] is False
    command = f"einloom run {model} -c {config} -p ROMEO: -n 32 --backend golden --temperature 0.0 --seed 0"
    stopped = "the core stopped at instruction 7: response, at position 0"
    assert told["error"] == f"{stopped}; rerun: {command}"


@pytest.mark.slow
def test_a_mismatch_is_run_again_with_the_waves_of_its_job(
    app: typer.Typer, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "the core.yaml"
    config.write_text(BITMOD.replace("columns: 16", "columns: 8").replace("channels: 2", "channels: 1"))
    monkeypatch.chdir(tmp_path)
    dump = GoldenDriver.dump

    def wrong(self: GoldenDriver, memory: int, offset: int, size: int) -> Bytes:
        found = dump(self, memory, offset, size).copy()
        found[4] ^= 1
        return found

    monkeypatch.setattr(GoldenDriver, "dump", wrong)
    first = CliRunner().invoke(app, [str(model), "-c", str(config), "-p", "abc", "-n", "1", "--waves", "100:200"])
    assert isinstance(first.exception, CheckFailed)
    assert first.exception.args[0].startswith("logit of token 1 after position")
    assert cycles_of(tmp_path / "tiny.fst", tmp_path / "tiny.vcd") == pytest.approx(100, abs=1)
    *_, rerun = first.exception.args[0].partition("; rerun with the waves of that job: einloom run ")
    again = CliRunner().invoke(app, shlex.split(rerun))
    assert str(again.exception) == str(first.exception)
    job = [int(cycle) for cycle in rerun.split()[-1].split(":")]
    between_jobs = 500  # in which the host reads registers
    assert 0 <= cycles_of(tmp_path / "tiny.fst", tmp_path / "tiny.vcd") - (job[1] - job[0]) < between_jobs


def cycles_of(fst: Path, vcd: Path) -> float:
    """Cycles in a file of waves, whichever of the two there is."""
    if fst.exists():
        first, last = struct.unpack(">QQ", fst.read_bytes()[9:25])
    else:
        times = [int(line[1:]) for line in vcd.read_text().splitlines() if line.startswith("#")]
        first, last = times[0], times[-1]
    return (last - first) / PICOSECONDS_PER_CYCLE


def test_figures_of_a_clocked_core(model: Path, config: Path) -> None:
    llama, manifest = load_folder(model), describe(load_config(str(config)))
    program, bits = compile_model(llama, manifest)
    totals = JobTotals()
    for cycles, beats in ((400, 100), (1000, 750)):
        counters = dict.fromkeys(counter_names(memory_ports(2)), 0) | {
            "cycles": cycles,
            "weights0_beats": beats,
            "weights1_beats": beats,
        }
        totals.add(JobResult(CoreError.NONE, 0, counters))
    report = report_of(
        llama,
        manifest,
        program,
        Generation((65,), (66, 67), np.zeros((2, 256), np.float32)),
        backend="rtl",
        bits_per_weight=bits,
        padding=0.125,
        agreement=Agreement(0.5, 0.25),
        saturated=0.0,
        totals=totals,
        seconds=0.5,
        memory=("hbm", 0.8),
    )
    assert report.bit_exact is True
    assert report.memory_share == pytest.approx(2 * 750 / (3 * 1000 * 0.8))  # of two channels and the system port
    assert report.cycles_per_token == 1000
    macs = 2 * sum(w.size for w in llama.linears.values())
    assert report.utilisation == macs / (1400 * 4 * 16 * 4 / 2)
    assert report.beat_share == 0.75  # of two channels
    assert report.cycles_per_second == 2800


def test_configs_are_found_by_name_and_by_path(config: Path) -> None:
    assert {"default", "bitmod-8x8", "int-mac-16x16"} <= shipped_configs().keys()
    assert all(load_config(name).name == name for name in shipped_configs())
    assert load_config(str(config)).name == "tiny"
    assert find_model().parts[-3:] == ("examples", "models", "shakespeare-1m")


def test_models_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    names = ("", "-w2", "-ternary", "-2of4-int4", "-2of4-int2")
    assert {f"shakespeare-1m{name}" for name in names} == shipped_models().keys()
    assert all(find_model(Path(name)) == folder for name, folder in shipped_models().items())
    assert find_model(None) == find_model()
    assert find_model(tmp_path) == tmp_path
    assert find_model(Path("nowhere")) == Path("nowhere")


@pytest.mark.parametrize(("name", "format"), [("shakespeare-1m-w2", "bipolar2"), ("shakespeare-1m-ternary", "ternary")])
def test_weights_trained_in_a_format_are_exact_in_it(name: str, format: str) -> None:
    for matrix in load_folder(shipped_models()[name]).linears.values():
        tensor = quantize_per_channel(matrix, FORMATS[format])
        exact = tensor.values() * tensor.channel_scale[:, None].astype(np.float64) * FORMATS[format].unit
        assert np.abs(exact - matrix).max() <= 1e-6 * np.abs(matrix).max()


@pytest.mark.parametrize("format", ["int4-2of4", "int2-2of4"])
def test_weights_trained_with_two_of_four_are_exact_in_groups(format: str) -> None:
    for matrix in load_folder(shipped_models()[f"shakespeare-1m-2of4-{format.removesuffix('-2of4')}"]).linears.values():
        tensor = quantize(matrix, FORMATS[format], 128)
        assert np.abs(tensor.dequantize() - matrix).max() <= 1e-6 * np.abs(matrix).max()


@pytest.mark.parametrize(
    ("name", "near"),
    [("defualt", ", did you mean 'default'?"), ("some/bitmod-8x9.yaml", ", did you mean"), ("zzz", "")],
)
def test_unknown_configs(name: str, near: str) -> None:
    rule = re.escape(f"{name}: neither a config file nor a shipped config{near}")
    with pytest.raises(InputError, match=rf"^{rule}.*; shipped: .*default, .*int-mac-16x16"):
        load_config(name)
