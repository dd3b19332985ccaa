"""`einloom cascade`."""

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from einloom.catalogue import load_cascade, shipped_cascades
from einloom.cli.cascade import cascade
from einloom.mapping.cascade.plot import plot
from einloom.mapping.cascade.report import report_on
from einloom.spec.errors import InputError, ToolError

app = typer.Typer()
app.command()(cascade)


def test_the_tables_say_all() -> None:
    result = CliRunner().invoke(app, ["attention-3pass"])
    assert result.exit_code == 0
    assert "SN[m, p] = exp(QK[m, p] - GM[p])" in result.output
    assert "M, pass 3: SD[p] is complete only after all of M; A[m, p] reads SN[m, p] again, with SD[p]" in " ".join(
        result.output.split()
    )
    assert "Live with the loops P >" in result.output


def test_json_from_a_file() -> None:
    path = shipped_cascades()["attention-2pass"]
    found = json.loads(CliRunner().invoke(app, [str(path), "--json"]).stdout)
    assert found["passes"] == {"E": 1, "P": 1, "M": 2, "F": 1}
    assert len(found["why"]) == 1
    assert found["footprints"]["SLN"] == "M"
    assert found["einsums"][3]["reduce"] == ["max(m0)"]


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="did you mean 'attention-1pass'"):
        load_cascade("attention-1pas")


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_plots(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"graph{suffix}"
    result = CliRunner().invoke(app, ["attention-1pass", "--plot", str(path), "--json"])
    assert result.exit_code == 0
    assert path.stat().st_size > 10_000
    json.loads(result.stdout)


def test_plots_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_on(load_cascade("swiglu-ffn"))
    with pytest.raises(InputError, match="a plot is a .png or .svg file"):
        plot(report, tmp_path / "graph.gif")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ToolError, match="extra 'docs'"):
        plot(report, tmp_path / "graph.png")


def test_a_plot_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    report = report_on(load_cascade("attention-1pass"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        plot(report, tmp_path / "file" / "graph.png")

    def full(_from: str, _to: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("einloom.spec.files.os.replace", full)
    with pytest.raises(InputError, match=r"graph\.svg: cannot be written: No space left on device"):
        plot(report, tmp_path / "graph.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
