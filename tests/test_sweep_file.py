"""The file of a sweep: what is wrong with it is said at once, by line and key."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from einloom.cli.main import make_app
from einloom.spec.errors import ConfigError, InputError
from einloom.sweeps.plan import read_plan


def call(*arguments: object) -> Result:
    return CliRunner().invoke(make_app(), ["sweep", *map(str, arguments)], catch_exceptions=False)


BAD = """\
name: Bad
nmae: x
base: core-dps
models: [shakespear-1m, shakespeare-1m]
measure: [cost, resorces]
over:
  engine.colums: [16, 32]
  job.position: [-1, 5]
  core.lanes: 16
text: none.txt
"""
GOOD = {"name": "s", "base": "core-dsp", "models": ["shakespeare-1m"], "measure": ["cost"]}


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    with pytest.raises(ConfigError) as refused:
        call(tmp_path / "bad.yaml", "-o", tmp_path / "out")
    assert refused.value.exit_code == 2
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{tmp_path / 'bad.yaml'}: line ") for line in lines)
    said = [line.removeprefix(f"{tmp_path / 'bad.yaml'}: line ") for line in lines]
    expected = (
        "1: name: String should match",
        "2: nmae: unknown key, did you mean 'name'?",
        "3: base: core-dps: neither a config file nor a shipped config, did you mean 'core-dsp'?",
        "4: models: shakespear-1m: neither a model's path nor a shipped model, did you mean 'shakespeare-1m'?",
        "5: measure.1: Input should be 'cost', 'resources' or 'fidelity' (given: 'resorces'), did you mean 'resources'",
        "7: over.engine.colums: unknown key, did you mean 'engine.columns'?",
        "8: over.job.position: Input should be greater than or equal to 0 (given: -1)",
        "9: over.core.lanes: must be a list of one or more values, not 16",
        f"10: text: {tmp_path / 'none.txt'}: cannot be read: No such file or directory",
    )
    assert len(said) == len(expected)
    for line, start in zip(said, expected, strict=True):
        assert line.startswith(start)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "random"}, "points: a random sweep needs the number of points to draw"),
        ({"points": 3}, "points: a grid has all of its points: set kind to random, or leave points out"),
        ({"models": []}, "models: cost and fidelity are those of a model: name one or more"),
        ({"measure": ["fidelity"]}, "text: fidelity needs a text: name its file"),
        ({"synth": True}, "synth: only resources are synthesised: add them to measure, or leave synth out"),
        ({"models": ["shakespeare-1m"] * 2}, "models: 'shakespeare-1m' stands here twice"),
        ({"over": {"engine.columns": [16, 32, 16]}}, "over.engine.columns: 16 stands here twice"),
        ({"over": {"position": [1]}}, "over.position: unknown key, did you mean 'job.position'?"),
        ({"over": {"engine.lanes": [3]}}, "over.engine.lanes: Input should be 1, 2, 4, 8, 16 or 32 (given: 3)"),
        (
            {"over": {"engine.columns": ["many"]}},
            "over.engine.columns: Input should be a valid integer (given: 'many')",
        ),
        ({"over": {"engine.packing": ["x"]}, "base": "default"}, "over.engine.packing: unknown key"),
        ({"over": {"engine.formats": [{"a"}]}}, "over.engine.formats: must be a number, a text or a list of these"),
        ({"over": {"job.weights": ["int99"]}}, "over.job.weights: int99: no weight format"),
        (
            {"over": {"core.vector_words": list(range(1, 401)), "core.fifo_beats": list(range(64, 464))}},
            "over: the grid has 160,000 points, and a sweep at most 100,000: set kind to random, and points",
        ),
    ],
)
def test_bad_sweeps(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_plan(GOOD | changes)
    assert str(refused.value).startswith(f"sweep: {message}")


def test_values_may_be_of_an_engine_that_another_key_chooses() -> None:
    plan = read_plan(
        GOOD
        | {"base": "default", "over": {"engine.kind": ["bitmod", "lut"], "engine.packing": ["x"]}}
        | {"over": {"engine.kind": ["sparse_dsp"], "engine.packing": ["tokens"]}}
    )
    assert json.loads(plan.point(0).config)["engine"]["packing"] == "tokens"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "SWEEP is needed: a YAML file, or a shipped sweep"),
        (["dsp-core"], "dsp-core: neither a sweep file nor a shipped sweep, did you mean 'dsp-cores'?"),
        (["dsp-cores", "--jobs", "0"], "--jobs must be 1 or more, and left out with --scheduler"),
        (["dsp-cores", "--jobs", "2", "--scheduler", "x"], "--jobs must be 1 or more, and left out with --scheduler"),
        (["dsp-cores", "--plot", "a.txt"], "--plot a.txt: name a file that ends in .svg, .png or .pdf"),
    ],
)
def test_bad_options(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError) as refused:
        call(*arguments)
    assert str(refused.value).startswith(message)


def test_a_plot_that_nothing_could_be_drawn_in_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps({"name": "small", "base": "core-dsp", "measure": ["resources"]}))
    with pytest.raises(InputError, match="the sweep measures resources, but a plot has speed over LUTs or over KL"):
        call(file, "--plot", tmp_path / "plot.svg", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
