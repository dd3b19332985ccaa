"""`einloom design` as a user calls it, and what it is made of."""

import json
import re
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import einloom
from einloom.catalogue import load_config, load_graph
from einloom.cli.main import make_app
from einloom.designing import SHARE, DesignReport, _wish
from einloom.fpga.boards import BOARDS
from einloom.fpga.design.candidates import candidates, shares
from einloom.fpga.design.capacity import mends, missing, need
from einloom.fpga.design.resource_model import core_resources
from einloom.fpga.design.vector_words import with_room
from einloom.fpga.kernel.interface import kernel_interface
from einloom.generators.registry import describe
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.cost.program_cost import Bound, job_cycles
from einloom.mapping.cost.trial import Trial, layers_alike
from einloom.mapping.fit import fit_problems
from einloom.spec.config import parse_config
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from tests.published_models import PUBLISHED, SMALL, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of which there is config.json alone."""
    return write_model(tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture(scope="module")
def report(model: Path) -> DesignReport:
    """What to build for it on the smallest board."""
    return einloom.design(model, "kv260", context=128, name="small")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(make_app(), ["design", *map(str, arguments)], catch_exceptions=False)


def test_the_choice_fits_board_and_model(report: DesignReport) -> None:
    config = report.choice.config
    room = report.board.room(config.memory.channels + 1)
    assert max(shares(report.choice.resources, room).values()) <= SHARE
    assert not fit_problems(report.wish.graph, describe(config))
    assert not config.unsized


def test_the_best_comes_first(report: DesignReport) -> None:
    first, *others = report.search.tried
    assert all(first.each <= other.each * 1.001 for other in others)
    assert report.tokens_per_second == pytest.approx(300e6 / first.cycles, rel=0.01)


def test_the_file_is_the_config_with_reasons(report: DesignReport) -> None:
    assert parse_config(report.text, "small.yaml") == report.choice.config
    for key in ("columns", "channels", "attention_lanes"):
        lines = [line for line in report.text.splitlines() if line.strip().startswith(f"{key}:")]
        assert lines
        assert all(len(line.partition(" # ")[2]) > 5 for line in lines)
    assert "tokens/s" in report.text.splitlines()[1]


def test_the_same_again(model: Path, report: DesignReport) -> None:
    assert einloom.design(model, "kv260", context=128, name="small").text == report.text


def test_the_command(model: Path, tmp_path: Path) -> None:
    file, plot = tmp_path / "small.yaml", tmp_path / "small.svg"
    result = call(model, "--board", "kv260", "--context", 128, "-o", file, "--plot", plot, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["config"]["name"] == "small"
    assert found["binding"] in found["resources"]
    assert found["binding_share"] == max(found["shares"].values())
    assert parse_config(file.read_text(), file).name == "small"
    assert "tokens per second" in plot.read_text()


def test_bounds_are_below_what_is_simulated(report: DesignReport) -> None:
    for choice in report.search.tried:
        assert choice.candidate.bound.cycles <= 1.02 * choice.cycles


def test_promises_of_several_tokens_at_once_are_near(model: Path) -> None:
    """The vector unit, which a decoding step hardly waits for, makes half of a batch's cycles."""
    found = einloom.design(model, "kv260", goal="batch", context=128)
    for choice in found.search.tried:
        bound = choice.candidate.bound
        assert bound.likely == pytest.approx(choice.cycles, rel=0.25)
        assert bound.vector > 0.3 * (bound.array + bound.attention)


@pytest.mark.parametrize(("engine", "weights"), [("bitmod", "bitmod-fp4"), ("lut", "ternary"), ("int_mac", "int8")])
def test_an_engine_that_is_asked_for(model: Path, engine: str, weights: str) -> None:
    found = einloom.design(model, "u280", context=128, engine=engine, weights=weights, name="asked")
    config = found.choice.config
    assert {choice.config.gemm.kind for choice in found.search.tried} == {engine}
    assert parse_config(found.text, "asked.yaml") == config
    assert not fit_problems(found.wish.graph, describe(config))


def test_engines_that_take_a_format_compete(model: Path) -> None:
    graph = load_graph(model)
    wish = _wish(graph, "u280", "decode", 128, "ternary", 8, "", SHARE, 300)
    assert wish.engines == ("sparse_dsp", "lut")
    together = candidates(wish)
    assert {candidate.array.kind for candidate in together} == set(wish.engines)
    for kind in wish.engines:
        alone = candidates(replace(wish, engines=(kind,)))
        assert {candidate for candidate in together if candidate.array.kind == kind} <= set(alone)


@pytest.mark.parametrize(
    ("engine", "weights", "message"),
    [
        ("bitmodd", "", "--engine bitmodd: no engine, did you mean 'bitmod'?"),
        ("lut", "bitmod-fp4", "--engine lut does not take weights in bitmod-fp4; what does: sparse_dsp, bitmod"),
    ],
)
def test_an_engine_that_cannot_be(model: Path, engine: str, weights: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        einloom.design(model, "u280", engine=engine, weights=weights)


def test_few_layers_tell_what_all_take(model: Path) -> None:
    graph, manifest = load_graph(model), describe(load_config("bitmod-decode"))
    program = shape_only_program(graph, manifest, None, 128)
    timing = BOARDS["u280"].timing(256, 300)
    assert layers_alike(graph)
    trial = Trial(graph, manifest, _format(manifest), 128, timing)
    assert trial.cycles(127) == pytest.approx(job_cycles(manifest, program, timing, 127), rel=0.01)
    assert trial.image_bytes[1] == pytest.approx(program.images[1].size, rel=0.01)


def _format(manifest: Any) -> Any:
    return FORMATS[manifest.gemm.weights.steps[0].format]


def test_more_room_is_never_slower(model: Path) -> None:
    graph = load_graph(model)
    wish = _wish(graph, "kv260", "decode", 128, "", 8, "", SHARE, 300)
    best = [candidates(replace(wish, share=share))[0].bound.likely for share in (0.6, 0.7, 0.9)]
    assert best == sorted(best, reverse=True)


def test_a_vector_memory_without_room_in_block_memories_lies_in_ultraram(report: DesignReport) -> None:
    config, board = report.choice.config, BOARDS["kv260"]
    words = config.memory_words()["vector_words"]
    wish = replace(report.wish, board=replace(board, has=replace(board.has, bram36=44)))
    larger = with_room(wish, config)
    assert larger.memory_words()["vector_words"] > words
    assert core_resources(larger).uram > core_resources(config).uram == 0
    assert with_room(report.wish, config) == config


def test_words_are_shared_where_words_for_all_have_no_room(model: Path, report: DesignReport) -> None:
    graph, config = load_graph(model), report.choice.config
    taken = report.choice.resources
    fewer = replace(
        BOARDS["kv260"], has=replace(BOARDS["kv260"].has, bram36=ceil(taken.bram36 / 0.88 / 0.7) - 1, uram=0)
    )
    wish = replace(_wish(graph, "kv260", "decode", 128, "", 8, "", SHARE, 300), board=fewer)
    shared = with_room(wish, config)
    assert shared.memory_words()["vector_words"] < config.memory_words()["vector_words"]
    assert not fit_problems(graph, describe(shared))
    none = replace(wish, board=replace(fewer, has=replace(fewer.has, bram36=2, uram=0)))
    with pytest.raises(InputError, match=r"it takes \d+\.\d% of the BRAM36s that the kv260 leaves, of 70%"):
        with_room(none, config)


def test_a_model_that_is_too_large(tmp_path: Path) -> None:
    folder = write_model(tmp_path, PUBLISHED["qwen2.5-72b"])
    with pytest.raises(InputError, match=r"does not fit the u280: .* GB more than .* it would fit with: ") as caught:
        einloom.design(folder, "u280")
    assert caught.value.exit_code == 2
    wish = _wish(load_graph(folder), "u280", "decode", None, "", 8, "", SHARE, 300)
    assert missing(wish) == need(wish).weights + need(wish).cache - (BOARDS["u280"].weight_banks * (256 << 20))
    for option in mends(wish):
        words = option.split()
        changed = dict(zip(words[::2], words[1::2], strict=True))
        board = changed.get("--board", "u280")
        weights, bits = changed.get("--weights", ""), int(changed.get("--cache-bits", 8))
        again = _wish(wish.graph, board, "decode", None, weights, bits, "", SHARE, 300)
        assert not missing(again)


def test_a_batch_is_told_of_all_its_tokens(model: Path) -> None:
    report = einloom.design(model, "kv260", goal="batch", context=64)
    assert report.choice.tokens > 1
    assert report.tokens_per_second == pytest.approx(300e6 / report.choice.each, rel=0.01)
    bound = report.choice.candidate.bound
    assert report.work[Bound.memory] == pytest.approx(bound.memory, rel=0.02)
    assert report.work[Bound.attention] == pytest.approx(bound.attention, rel=0.02)


@pytest.mark.parametrize("context", [2, 9])
def test_a_batch_needs_positions_for_its_tokens(model: Path, context: int) -> None:
    with pytest.raises(InputError, match="--goal batch computes up to 32 tokens at once"):
        einloom.design(model, "kv260", goal="batch", context=context)


def test_all_that_is_wrong_at_once(model: Path) -> None:
    with pytest.raises(InputError) as caught:
        einloom.design(model, "u281", goal="fast", weights="fp4", context=1 << 30, share=2)
    for part in ("did you mean 'u280'", "--goal must be", "--weights fp4", "--context must be", "--share must be"):
        assert part in str(caught.value)


@pytest.mark.parametrize("board", ["v80", "kv260"])
def test_no_kernels_for_boards_of_design_alone(board: str) -> None:
    with pytest.raises(InputError, match=f"no kernel folders for the board {board}"):
        kernel_interface(describe(load_config("default")), BOARDS[board])
