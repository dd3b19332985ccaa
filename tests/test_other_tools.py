"""`benchmarks/other_tools.py` without the tools: its own rows, and what it asks of a tool's interpreter."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.other_tools import FOLDER, LAYERS, TOOLS, Row, ask, is_there, main, models, pythons, table

INTERPRETER = """#!PYTHON
import json, sys
if sys.argv[1] == "-c":
    sys.exit(0)
if json.load(sys.stdin) != LAYERS or not sys.argv[1].endswith("zigzag_cycles.py"):
    sys.exit("asked otherwise")
if FAILS:
    sys.exit("no such layer")
result = {"layer": "gemm", "variant": "fast", "cycles": 300000.0, "seconds": 1.5}
json.dump({"version": "9", "results": [result]}, sys.stdout)
"""


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """An interpreter that has every tool, and gives one result."""
    return write(tmp_path / "python", fails=False)


def write(path: Path, *, fails: bool) -> Path:
    text = INTERPRETER.replace("PYTHON", sys.executable).replace("LAYERS", repr(LAYERS))
    path.write_text(text.replace("FAILS", repr(fails)))
    path.chmod(0o755)
    return path


def test_own_cycles_are_near_those_of_the_macs() -> None:
    gemm, attention = models()
    assert 1 <= gemm.cycles / gemm.bound < 1.01
    assert 1 <= attention.cycles / attention.bound < 1.06  # exponentials and their sums are steps of the array, too
    assert Row("half", "attention", 1, 1, heads=6).bound == attention.bound / 2


def test_a_tool_is_asked_by_its_own_interpreter(interpreter: Path, tmp_path: Path) -> None:
    assert is_there(TOOLS["zigzag"], str(interpreter))
    assert not is_there(TOOLS["zigzag"], str(tmp_path / "none"))
    assert not is_there(TOOLS["zigzag"]._replace(module="no_such_module"), sys.executable)
    (row,) = ask("zigzag", str(interpreter))
    assert (row.tool, row.layer, row.cycles) == ("zigzag 9, fast", "gemm", 300_000)
    assert table([row]).row_count == 1
    with pytest.raises(SystemExit, match="zigzag failed:\nno such layer"):
        list(ask("zigzag", str(write(tmp_path / "bad", fails=True))))


def test_missing_tools_are_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.other_tools.is_there", lambda *_: False)
    monkeypatch.setattr(sys, "argv", ["other_tools", "--rtl-heads", "0"])
    main()
    shown = capsys.readouterr().out
    for name, tool in TOOLS.items():
        assert f"{name} is not in" in shown
        assert tool.install in shown


@pytest.mark.parametrize("choice", ["zigzag", "gem5=python"])
def test_a_choice_that_names_no_tool(choice: str) -> None:
    with pytest.raises(SystemExit, match="write TOOL=PATH, where TOOL is accelforge, zigzag, scalesim"):
        pythons([choice])


def test_each_tool_has_a_script() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == {f"{name}_cycles.py" for name in TOOLS}
    assert json.loads(json.dumps(LAYERS)) == LAYERS
