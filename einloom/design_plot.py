"""The plot of `einloom design`: speed against LUTs."""

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from einloom.plots import save_figure

if TYPE_CHECKING:
    from einloom.designing import DesignReport


def plot_choice(path: Path, report: "DesignReport") -> None:
    """Draw the front of all cores by their bounds, and those that were simulated, into the file `path`."""
    hertz = report.wish.clock_mhz * 1e6
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    front = sorted(report.search.front, key=lambda core: core.resources.lut)
    axes.step(
        [core.resources.lut / 1e3 for core in front],
        [hertz * core.array.rows / core.bound.cycles for core in front],
        where="post",
        label="bound of the fastest core of so many LUTs",
    )
    tried = report.search.tried
    axes.plot([c.resources.lut / 1e3 for c in tried], [hertz / c.each for c in tried], ".", label="simulated")
    best = report.choice
    axes.plot([best.resources.lut / 1e3], [hertz / best.each], "o", fillstyle="none", markersize=12, label="chosen")
    axes.axvline(report.wish.share * report.room.lut / 1e3, linestyle=":", color="grey")
    axes.set_xlabel("thousands of LUTs, predicted")
    axes.set_ylabel("tokens per second")
    axes.set_title(f"{report.model} on the {report.board.name}, {report.wish.goal}, {report.wish.context:,} positions")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right")
    save_figure(figure, path)
