"""mapping/cost/schedule_search.py: the schedule with the fewest predicted cycles. All schedules compute the same."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import strategies as st
from typer.testing import CliRunner

import einloom
from einloom.cli.main import make_app
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.cost import cached_schedule_search as cached
from einloom.mapping.cost.program_cost import job_cycles
from einloom.mapping.cost.schedule_search import VALUES, Found, ScheduleGoal, search
from einloom.mapping.pipeline import PLAIN, compile_model
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.models.decoder_model import DecoderModel
from einloom.sim.golden.executor import GoldenCore
from einloom.sim.golden.memories import Chunk
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program
from tests.cores import core_manifest
from tests.properties import given, settings
from tests.small_models import golden_decoder, small_llama
from tests.test_codegen import AsyncCore

MANIFEST = core_manifest(engine={"columns": 8})
TIMING = MemoryTiming.hbm(8 * MANIFEST.core.beat_bytes, 300.0)
PROMPT = [7, 200, 31]
SCHEDULES = st.builds(Schedule, **{name: st.sampled_from(values) for name, values in VALUES.items()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def model(folder: Path) -> DecoderModel:
    return small_llama(folder)


def program_of(model: DecoderModel, schedule: Schedule) -> Program:
    """The program, made with all checks of mapping/check."""
    return compile_model(model, MANIFEST, PLAIN, schedule)[0]


def logits(program: Program) -> np.ndarray:
    return golden_decoder(program, MANIFEST).step(PROMPT)


def found_for(model: DecoderModel, goal: ScheduleGoal) -> Found:
    format = FORMATS[MANIFEST.gemm.weights.steps[0].format]
    return search(model.graph, MANIFEST, format, model.graph.context, goal, TIMING)


@pytest.fixture(scope="module")
def standard_logits(model: DecoderModel) -> np.ndarray:
    return logits(program_of(model, STANDARD))


@settings(max_examples=6)
@given(schedule=SCHEDULES)
def test_every_schedule_computes_the_same(model: DecoderModel, standard_logits: np.ndarray, schedule: Schedule) -> None:
    assert (logits(program_of(model, schedule)) == standard_logits).all()


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_units_computes_the_same(model: DecoderModel, seed: int) -> None:
    program = program_of(
        model, Schedule(most_pieces=16, piece_words=8, query_words=2, piece_maxima=True, queries_first=True, ahead=4)
    )
    image, start, beat = program.system.copy(), program.symbols.tokens * 32, MANIFEST.core.beat_bytes
    image[start : start + len(PROMPT) * beat].reshape(len(PROMPT), beat)[:, 0] = PROMPT
    program = replace(program, system=image)
    core = AsyncCore(MANIFEST, program, Chunk(0, len(PROMPT), last=True), random.Random(seed))
    core.run()
    expected = GoldenCore(MANIFEST, program.system.copy(), program.weights)
    expected.run(program.symbols.program, program.symbols.instructions, 0, len(PROMPT))
    assert (core.core.system == expected.system)[: program.symbols.program * beat].all()


@pytest.mark.parametrize("goal", ScheduleGoal)
def test_what_is_found_is_as_fast_as_predicted_and_no_slower_than_the_standard(
    model: DecoderModel, goal: ScheduleGoal
) -> None:
    found, context = found_for(model, goal), model.graph.context
    tokens = MANIFEST.gemm.rows if goal is ScheduleGoal.prefill else 1
    for schedule, cycles in ((found.schedule, found.cycles), (STANDARD, found.standard_cycles)):
        program = shape_only_program(model.graph, MANIFEST, context=context, schedule=schedule)
        assert job_cycles(MANIFEST, program, TIMING, context - tokens, tokens) == cycles
    assert found.cycles <= found.standard_cycles
    assert bool(found.changes) == (found.cycles < found.standard_cycles)


def test_a_context_shorter_than_a_chunk(model: DecoderModel) -> None:
    format, manifest = FORMATS[MANIFEST.gemm.weights.steps[0].format], core_manifest(engine={"rows": 4})
    found = search(model.graph, manifest, format, 2, ScheduleGoal.prefill, TIMING)
    assert 0 < found.cycles <= found.standard_cycles


def test_a_search_is_kept(model: DecoderModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path))
    format = FORMATS[MANIFEST.gemm.weights.steps[0].format]
    what = (model.graph, MANIFEST, format, model.graph.context, ScheduleGoal.decode, TIMING)
    first = cached.cached_search(*what)
    (file,) = tmp_path.glob("schedules/*/schedule.json")
    monkeypatch.setattr(cached, "search", lambda *_: pytest.fail("searched again"))
    assert cached.cached_search(*what) == first
    monkeypatch.undo()
    file.write_text("{}")
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path))
    assert cached.cached_search(*what) == first


@pytest.mark.usefixtures("model")
def test_the_commands_say_what_won(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "core.yaml"
    config.write_text(yaml.safe_dump(MANIFEST.config.model_dump(mode="json", exclude_unset=True)))
    arguments = ["compile", folder, "-c", config, "--schedule", "decode", "-o", tmp_path / "out", "--json"]
    result = CliRunner().invoke(make_app(), list(map(str, arguments)), catch_exceptions=False)
    found = json.loads(result.stdout)["schedule"]
    assert found["cycles"] < found["standard_cycles"]
    assert "cycles predicted instead of" in (tmp_path / "out" / "report.txt").read_text()


def test_an_unknown_goal() -> None:
    with pytest.raises(InputError, match="--schedule must be standard, decode, prefill, not fast"):
        einloom.compile(config="default", schedule="fast")


def test_cost_predicts_what_was_found(folder: Path, model: DecoderModel) -> None:
    standard, found = (einloom.cost(folder, MANIFEST.config, schedule=name) for name in ("standard", "decode"))
    assert found.found is not None
    assert (standard.step.cycles, found.step.cycles) == (found.found.standard_cycles, found.found.cycles)
    compiled = einloom.compile(model, MANIFEST.config, schedule="decode")
    assert found.program.instructions == compiled.program.instructions
