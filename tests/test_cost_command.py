"""`einloom cost` as a user calls it, and what it is made of."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import einloom
from einloom.cli.main import make_app
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.cost.program_cost import OTHERS
from einloom.spec.errors import ConfigError, InputError
from tests.cores import core_config, core_manifest
from tests.small_models import small_llama

LLAMA = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 300,
    "tie_word_embeddings": False,
}
CONFIG = "bitmod-decode"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of which there is config.json alone."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    return tmp_path


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(make_app(), ["cost", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def figures(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(*arguments, "--json").stdout)
    return found


def test_json_of_a_model_without_weights(model: Path) -> None:
    found = figures(model, "-c", CONFIG, "--position", 200, "--prompt", 9)
    assert found["seconds_per_token"] == pytest.approx(found["cycles"] / 300e6)
    assert found["tokens_per_second"] == pytest.approx(300e6 / found["cycles"])
    assert found["time_to_first_token"] == pytest.approx(found["prompt_cycles"] / 300e6)
    # All its tokens go through the layers, at earlier positions, and one through the head.
    assert 5 * found["cycles"] < found["prompt_cycles"] < 9 * found["cycles"]
    assert found["share_of_bound"] == pytest.approx(found["least"][found["bound"]] / found["cycles"], abs=1e-4)
    for parts in ("layers", "operations"):
        assert sum(part["cycles"] for part in found[parts]) == found["cycles"]
        assert all(sum(part["bounds"].values()) == part["cycles"] for part in found[parts])
    assert sum(found["bounds"].values()) == found["cycles"]
    assert [layer["name"] for layer in found["layers"]] == [*(f"model.layers.{n}" for n in range(3)), OTHERS]
    layers = [layer["cycles"] for layer in found["layers"][:3]]
    assert max(layers) < 1.1 * min(layers)
    assert all(left < found["cycles"] for left in found["without"].values())
    assert found["units"]["gemm"]["busy"] > 0


def test_tables_for_people(model: Path) -> None:
    shown = " ".join(call(model, "-c", CONFIG).output.split())
    assert f"position {LLAMA['max_position_embeddings'] - 1:,}" in shown  # the last one: it has no more
    for words in ("tokens per second", "would help most", "share of that bound", "gate and up", "waiting for permits"):
        assert words in shown
    cycles = re.search(r"cycles of a token │ ([\d,]+)", shown)
    assert cycles is not None
    assert int(cycles[1].replace(",", "")) == figures(model, "-c", CONFIG)["cycles"]


def test_later_positions_clocks_and_memories_cost_what_they_must(model: Path) -> None:
    early, late = (figures(model, "-c", CONFIG, "--position", n)["cycles"] for n in (10, 290))
    assert early < late
    ideal = einloom.cost(model, CONFIG, position=10, memory="ideal")
    # Memory's times are in seconds: at a slower clock they are fewer cycles.
    slow = einloom.cost(model, CONFIG, position=10, clock_mhz=100)
    assert slow.step.cycles < early
    assert slow.seconds_per_token > early / 300e6
    assert ideal.time_to_first_token is None
    assert "operation" in ideal._repr_html_()
    other = einloom.cost(model, CONFIG, position=10, weights="bitmod-fp3", memory="ideal")
    assert other.step.least["memory"] < 0.8 * ideal.step.least["memory"]


def test_a_timeline(model: Path, tmp_path: Path) -> None:
    found = figures(model, "-c", CONFIG, "--timeline", tmp_path / "job.json")
    events = json.loads((tmp_path / "job.json").read_text())["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert {event["tid"] for event in slices} == set(range(6))
    assert max(event["ts"] + event["dur"] for event in slices) == pytest.approx(found["cycles"], abs=3)
    pytest.importorskip("matplotlib")
    call(model, "-c", CONFIG, "--timeline", tmp_path / "job.svg")
    assert (tmp_path / "job.svg").stat().st_size > 10_000


def test_a_core_is_chosen_for_the_model(model: Path) -> None:
    assert figures(model)["config"] == einloom.cost(model).manifest.name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--position", "300", "--prompt", "0"], "--position must be 0 to 299.*; --prompt must be 1 to 300 tokens"),
        (["--memory", "dram"], "--memory must be ideal or hbm, not dram"),
        (["--clock", "5000"], "--clock must be 50 to 500 MHz"),
        (["--weights", "int8"], "the design's formats are bitmod-fp4, bitmod-fp3"),
    ],
)
def test_bad_options(model: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(model, "-c", CONFIG, *arguments)


def test_bad_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        call(tmp_path / "none", "-c", CONFIG)
    with pytest.raises(ConfigError, match="cannot be read"):
        call(tmp_path, "-c", CONFIG)


def test_a_shape_has_the_program_of_the_model(tmp_path: Path) -> None:
    """The program from config.json alone is the compiled one, in every instruction."""
    loaded = small_llama(tmp_path)
    manifest = core_manifest()
    assert (
        shape_only_program(loaded.graph, manifest).instructions
        == einloom.compile(loaded, manifest.config).program.instructions
    )


def test_formats_that_choose_per_block_depend_on_more_than_a_shape(tmp_path: Path) -> None:
    small_llama(tmp_path)
    engine = {"kind": "sparse_dsp", "rows": 2, "columns": 8, "lanes": 8, "packing": "tokens", "formats": ["int4-nof16"]}
    config = core_config(engine=engine, core={"activation_words": 64}, attention={"rows": 8})
    with pytest.raises(InputError, match="how many weights of a block it keeps depends on the weights"):
        einloom.cost(tmp_path, config)
