"""einloom sweep: points, what is measured of them, how they are kept, and what is wrong with a file."""

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

import einloom
from einloom.catalogue import shipped_sweeps
from einloom.cli.main import make_app
from einloom.fpga.design.resource_model import core_resources
from einloom.fpga.resources import Resources
from einloom.spec.config import Config
from einloom.spec.errors import CheckFailed, ToolError
from einloom.spec.sweep_file import Measure
from einloom.sweeping import KEPT, PAGE, TABLE
from einloom.sweeps import measures
from einloom.sweeps.axes import sample, values_at
from einloom.sweeps.measures import measure_point
from einloom.sweeps.pareto import PLOTS, front
from einloom.sweeps.plan import read_plan
from tests.published_models import SMALL, write_model
from tests.tiny_llama import write_tiny_llama

SHAPE = SMALL | {"num_hidden_layers": 1}
RUN = "from einloom.cli.main import main; main()"
OVER: Mapping[str, list[Any]] = {
    "engine.formats": [["bitmod-fp4"]],
    "engine.columns": [16, 32],
    "core.lanes": [16, 32],
    "job.position": [10, 250],
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of one layer, of which there is config.json alone."""
    return write_model(tmp_path / "small", SHAPE)


def sweep_of(model: Path, **changes: Any) -> dict[str, Any]:
    """A sweep of eight points, of which two are no configs, with `changes` to its keys."""
    over = OVER | changes.pop("over", {})
    base = {"name": "few", "base": "core-dsp", "models": [str(model)], "measure": ["cost", "resources"], "over": over}
    return base | changes


def write(folder: Path, sweep: Mapping[str, Any]) -> Path:
    path = folder / "few.yaml"
    path.write_text(yaml.safe_dump(dict(sweep), sort_keys=False))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(make_app(), ["sweep", *map(str, arguments)], catch_exceptions=False)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open() as file:
        return list(csv.DictReader(file))


def test_each_row_is_what_the_commands_say_of_its_point(model: Path, tmp_path: Path) -> None:
    report = einloom.sweep(sweep_of(model), tmp_path / "out", jobs=1)
    rows = table(tmp_path / "out")
    points = list(itertools.product((16, 32), (16, 32), (10, 250)))
    shown = [(int(r["engine.columns"]), int(r["core.lanes"]), int(r["job.position"])) for r in rows]
    assert shown == points
    for (columns, lanes, position), row in zip(points, rows, strict=True):
        if lanes > columns:
            assert row["error"] == "the engine's 16 columns must be a multiple of core.lanes, 32"
            assert row["cycles"] == row["lut"] == ""
            continue
        data = einloom.load_config("core-dsp").model_dump(exclude_unset=True)
        data["engine"] |= {"columns": columns, "formats": ["bitmod-fp4"]}
        config = einloom.load_config(data | {"core": data["core"] | {"lanes": lanes}})
        expected = einloom.cost(model, config, position=position)
        assert row["error"] == ""
        assert int(row["cycles"]) == expected.step.cycles
        assert float(row["tokens_per_second"]) == 1 / expected.seconds_per_token
        assert int(row["lut"]) == core_resources(config).lut
        assert int(row["dsp"]) == core_resources(config).dsp
    assert (report.failed, report.reused) == (2, 0)


def test_jobs_prompts_bases_and_models_are_axes(model: Path, tmp_path: Path) -> None:
    tiny = write_tiny_llama(tmp_path / "tiny", head_dim=32)
    over = {"job.prompt": [None, 20], "job.memory": ["ideal"], "job.clock": [200]}
    found = einloom.sweep(
        {
            "name": "s",
            "base": ["core-dsp", "default"],
            "models": [str(model), str(tiny)],
            "measure": "cost",
            "over": over,
        },
        jobs=1,
    )
    assert [(r["model"], r["base"], r["job.prompt"]) for r in found.rows] == [
        (str(m), base, prompt) for m in (model, tiny) for base in ("core-dsp", "default") for prompt in (None, 20)
    ]
    assert not found.failed
    for row in found.rows:
        direct = einloom.cost(row["model"], row["base"], prompt=row["job.prompt"], memory="ideal", clock_mhz=200)
        assert row["cycles"] == direct.step.cycles
        assert row["time_to_first_token"] == direct.time_to_first_token


def test_what_a_point_lacks_is_said_beside_what_it_has(model: Path) -> None:
    """Positions that a model has not, a model that has no room, and an engine whose LUTs nobody knows."""
    formats = [["int4", "bitmod-fp3"]]
    over = {"job.position": [300, 10], "core.vector_words": [8, 8192], "engine.formats": formats}
    sweep = sweep_of(model, over=over, measure=["cost", "resources"])
    del sweep["over"]["engine.columns"], sweep["over"]["core.lanes"]
    rows = einloom.sweep(sweep, jobs=1).rows
    unknown = (
        "resources of column tops, int4+bitmod-fp3 are not known without synthesis: einloom synth tells them, or "
        "synth: true in a sweep"
    )
    assert [(r["job.position"], r["core.vector_words"]) for r in rows] == [(300, 8), (300, 8192), (10, 8), (10, 8192)]
    assert rows[1]["error"] == f"--position must be 0 to 255, the model's last one, not 300; {unknown}"
    assert "vector" in rows[2]["error"]
    assert rows[2]["cycles"] is None
    assert rows[3]["error"] == unknown
    assert rows[3]["cycles"] > 0
    with pytest.raises(CheckFailed, match="^no point has any figure$"):
        call(write(model, sweep | {"measure": ["resources"]}), "-o", model / "out", "--jobs", 1)


def test_a_sweep_that_is_killed_goes_on_where_it_was(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is that of a sweep in one process, in every byte, and processes end with the one that started them."""
    file = write(tmp_path, sweep_of(model, over={"job.position": list(range(0, 240, 20))}))
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    run = subprocess.Popen([sys.executable, "-c", RUN, "sweep", str(file), "-o", str(folder), "--jobs", "2"])
    kept = folder / KEPT
    while not kept.exists() or kept.read_bytes().count(b"\n") < 3:
        assert run.poll() is None
        time.sleep(0.02)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    deadline = time.monotonic() + 30
    while any(alive(int(pid)) for pid in children):
        assert time.monotonic() < deadline, "processes of a killed sweep live on"
        time.sleep(0.05)
    lines = kept.read_bytes().splitlines(keepends=True)
    assert 3 <= len(lines) < 48
    kept.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])  # as if the disk had lost the end of it

    measured = list[object]()

    def counting(*arguments: Any) -> Any:
        measured.append(arguments)
        return measure_point(*arguments)

    monkeypatch.setattr("einloom.sweeping.measure_point", counting)
    assert einloom.sweep(file, folder, jobs=1).reused == len(lines) - 1
    assert len(measured) == 48 - (len(lines) - 1)
    measured.clear()
    assert einloom.sweep(file, folder, jobs=1).reused == 48
    assert not measured
    monkeypatch.undo()
    einloom.sweep(file, whole, jobs=1)
    assert (folder / TABLE).read_bytes() == (whole / TABLE).read_bytes()
    assert (folder / PAGE).read_bytes() == (whole / PAGE).read_bytes()


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_cluster_finds_what_one_process_does(model: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install einloom[cluster]")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        einloom.sweep(sweep_of(model), tmp_path / "cluster", scheduler=cluster.scheduler_address)
    einloom.sweep(sweep_of(model), tmp_path / "one", jobs=1)
    assert (tmp_path / "cluster" / TABLE).read_bytes() == (tmp_path / "one" / TABLE).read_bytes()


def test_rows_are_kept_by_all_that_they_follow_from(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_of(model)
    einloom.sweep(sweep, tmp_path / "out", jobs=1)
    fewer = sweep_of(model, over={"job.position": [250]})
    assert einloom.sweep(fewer, tmp_path / "out", jobs=1).reused == 4
    assert len(table(tmp_path / "out")) == 4
    write_model(model, SHAPE | {"intermediate_size": 768})
    other = einloom.sweep(fewer, tmp_path / "out", jobs=1)
    assert other.reused == 0
    assert einloom.sweep(fewer | {"measure": ["cost"]}, tmp_path / "out", jobs=1).reused == 0
    monkeypatch.setattr(measures, "VERSION", "another")
    measures.code_digest.cache_clear()
    try:
        assert einloom.sweep(fewer, tmp_path / "out", jobs=1).reused == 0
    finally:
        measures.code_digest.cache_clear()


def test_a_worker_with_another_einloom_is_refused(model: Path) -> None:
    plan = read_plan(sweep_of(model))
    with pytest.raises(ToolError, match="^a worker has another version of einloom"):
        measure_point(plan.point(0), plan.settings, "another")


def test_a_bug_costs_one_row_and_is_tried_again(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_config: object, point: Any, _settings: object) -> tuple[int, ...]:
        if point.job.position == 250:
            raise KeyError("bug")
        return (1, 2, 3, 4)

    monkeypatch.setattr(measures, "MEASURES", dict(measures.MEASURES) | {Measure.resources: fail})
    file = write(tmp_path, sweep_of(model, measure=["resources"], over={"core.lanes": [16]}))
    result = CliRunner().invoke(make_app(), ["sweep", str(file), "-o", str(tmp_path / "out"), "--jobs", "1"])
    assert isinstance(result.exception, CheckFailed)
    assert str(result.exception) == "einloom failed at 2 of 4 points: see the tracebacks above"
    assert "Traceback" in result.stderr
    assert [row["error"] for row in table(tmp_path / "out")] == ["", "einloom failed: KeyError: 'bug'"] * 2
    monkeypatch.undo()
    again = einloom.sweep(file, tmp_path / "out", jobs=1)
    assert (again.reused, again.failed) == (2, 0)


def test_fidelity_is_that_of_evaluate(tmp_path: Path) -> None:
    tiny = write_tiny_llama(tmp_path / "tiny", head_dim=32)
    text = "Once more unto the breach, dear friends, once more."
    (tmp_path / "text").write_text(text)
    shape = write_model(tmp_path / "shape", SHAPE)  # has no weights
    sweep = {
        "name": "fidelity",
        "base": "bitmod-decode",
        "models": ["tiny", "shape"],
        "measure": ["fidelity", "cost"],
        "text": "text",  # beside the file
        "tokens": 30,
        "over": {"job.weights": ["bitmod-fp4", "bitmod-fp3"]},
    }
    rows = einloom.sweep(write(tmp_path, sweep), jobs=1).rows
    for row, weights in zip(rows, ("bitmod-fp4", "bitmod-fp3"), strict=False):
        whole = einloom.evaluate(tiny, text, config="bitmod-decode", weights=weights, tokens=30).whole
        assert row["kl"] == pytest.approx(whole.kl, rel=1e-5)
        assert row["perplexity"] == pytest.approx(whole.perplexity, rel=1e-5)
        assert row["error"] == ""
    assert rows[0]["kl"] < rows[1]["kl"]
    assert all(str(shape) in row["error"] and row["kl"] is None and row["cycles"] > 0 for row in rows[2:])


def test_resources_by_synthesis(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of engines whose LUTs nobody knows otherwise, too; memories that are auto are sized for the model before."""

    def synthesised(config: Config) -> Any:
        assert not config.unsized
        return SimpleNamespace(total=Resources(lut=config.gemm.columns, dsp=2, bram36=0.5, uram=3))

    monkeypatch.setattr(measures, "synthesise", synthesised)
    over = {"engine.columns": [16, 32], "core.lanes": [16], "core.vector_words": ["auto"], "engine.formats": [["int8"]]}
    sweep = {"name": "s", "base": "bitmod-decode", "models": str(model), "measure": "resources", "synth": True}
    rows = einloom.sweep(sweep | {"over": over}, jobs=1).rows
    assert [[row[name] for name in ("lut", "dsp", "bram36", "uram", "error")] for row in rows] == [
        [16, 2, 0.5, 3, ""],
        [32, 2, 0.5, 3, ""],
    ]


def test_random_points_are_of_the_grid_and_follow_from_the_seed(model: Path) -> None:
    grid = einloom.sweep(sweep_of(model, measure="cost"), jobs=1).rows
    drawn = [
        einloom.sweep(sweep_of(model, measure="cost", kind="random", points=5, seed=s), jobs=1).rows for s in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(row in grid for rows in drawn for row in rows)
    assert [len(rows) for rows in drawn] == [5, 5, 5]


def test_samples_have_no_number_twice_and_all_numbers_are_as_likely() -> None:
    counts = [0] * 6
    for seed in range(3000):
        numbers = sample(6, 2, seed)
        assert len(set(numbers)) == 2
        for number in numbers:
            counts[number] += 1
    assert all(850 < count < 1150 for count in counts)
    assert sample(5, 9, 0) == list(range(5))
    assert len(set(sample(10**15, 1000, 0))) == 1000
    axes = [(1, 2), ("a",), (None, True, "b")]
    assert [values_at(axes, n) for n in range(6)] == list(itertools.product(*axes))


def test_a_front_has_what_no_other_point_beats() -> None:
    plot = PLOTS[0]
    rows = [{plot.x: x, plot.y: y} for x, y in ((3, 5), (1, 1), (2, 5), (4, 9), (4, 8), (5, 9), (2, 4), (None, 99))]
    had = [row for row in rows if plot.has(row)]

    def beaten(row: Mapping[str, Any]) -> bool:
        return any(other[plot.x] <= row[plot.x] and other[plot.y] >= row[plot.y] and other != row for other in had)

    assert front(rows, plot) == sorted((row for row in had if not beaten(row)), key=lambda row: row[plot.x])


def test_the_command_and_its_page(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path, sweep_of(model, name="two-ways"))
    told = json.loads(call(file, "--jobs", 1, "--json").stdout)
    assert (told["points"], told["failed"], told["reused"], told["csv"]) == (8, 2, 0, f"two-ways-sweep/{TABLE}")
    assert len(told["rows"]) == 8
    page = (tmp_path / told["html"]).read_text()
    assert page.count("<tr>") == 9
    assert page.count("<circle") == 6
    assert "must be a multiple of core.lanes" in page
    assert not re.search(r"(src|href)=|@import|url\(", page)
    best = told["fronts"]["tokens_per_second over lut"]
    assert 1 <= len(best) <= 6
    shown = call(file, "--jobs", 1).output
    assert "two-ways: 8 points, 2 with an error, 8 of an earlier run" in shown
    pytest.importorskip("matplotlib")
    call(file, "--plot", tmp_path / "plot.svg")
    assert "tokens per second" in (tmp_path / "plot.svg").read_text()


def test_shipped_sweeps_have_points() -> None:
    assert {name: len(read_plan(name).numbers) for name in shipped_sweeps()} == {"dsp-cores": 200}
