"""`einloom doctor`: what is missing is named, with its mend, and the exit code says whether the main job can run."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from einloom import diagnosis
from einloom.cli.main import make_app
from einloom.diagnosis import Diagnosis, diagnose
from einloom.spec.errors import CheckFailed


def thing(name: str) -> Diagnosis:
    return next(thing for thing in diagnose().things if thing.what == name)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing but what a test links into it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def link(folder: Path, *tools: str) -> None:
    for tool in tools:
        found = shutil.which(tool, path=os.defpath + ":/usr/bin:/bin:/usr/local/bin")
        assert found, tool
        (folder / tool).symlink_to(found)


def test_a_machine_that_runs_the_tests_runs_the_main_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path))
    result = CliRunner().invoke(make_app(), ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["runs"] is True
    assert {t["verdict"] for t in told["things"] if "run" in t["needed_by"]} == {"ok"}


@pytest.mark.parametrize(("tool", "what"), [("make", "make"), ("perl", "perl"), ("g++", "C++ compiler")])
def test_a_missing_tool_is_named(bare: Path, tool: str, what: str) -> None:
    link(bare, *({"make", "perl"} - {tool}))
    found = thing(what)
    assert found.verdict == "missing"
    assert found.found == f"{tool} is not on PATH"
    assert found.mend.startswith(f"install the package {tool}")
    assert tool in thing("Verilator").found
    assert tool in thing("Verilator").mend
    result = CliRunner().invoke(make_app(), ["doctor"])
    assert isinstance(result.exception, CheckFailed)
    assert result.exception.exit_code == 1
    assert what in str(result.exception)


def test_a_compiler_that_compiles_nothing_is_missing(bare: Path) -> None:
    fake = bare / "g++"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo g++ 4.8 && exit 0\nexit 1\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    link(bare, "sh")
    assert thing("C++ compiler").found == "g++ 4.8 compiles no program with coroutines"


def test_a_cache_in_the_way_is_missing(bare: Path) -> None:
    (bare / "cache").write_text("a file")
    assert thing("cache").verdict == "missing"
    assert thing("cache").mend == "set EINLOOM_CACHE to a folder that can be written"


def test_too_little_memory_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_text", lambda path: "MemAvailable:  1024 kB" if "meminfo" in path else "")
    assert thing("memory").found == "1 MiB available"


def test_what_only_a_card_needs_does_not_stop_the_main_job() -> None:
    things = {thing.what: thing for thing in diagnose().things}
    for name in ("Vitis", "XRT", "card"):
        assert things[name].verdict in ("ok", "not here")
        assert "run" not in things[name].needed_by
