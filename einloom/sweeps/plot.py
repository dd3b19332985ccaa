"""The plots of `einloom sweep` for papers and slides, by matplotlib."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from einloom.plots import save_figure
from einloom.sweeps.chart import COLOURS, Drawing
from einloom.sweeps.pareto import front


def plot_points(path: Path, title: str, drawings: Sequence[Drawing]) -> None:
    """Draw each pair of figures below the other into the file `path`, with the front of each group of points."""
    figure = Figure(figsize=(8, 5 * len(drawings)), layout="constrained")
    for axes, (plot, groups) in zip(figure.subplots(len(drawings), squeeze=False)[:, 0], drawings, strict=True):
        for n, (group, rows) in enumerate(groups.items()):
            colour, had, best = COLOURS[n % len(COLOURS)], [row for row in rows if plot.has(row)], front(rows, plot)
            axes.plot([row[plot.x] for row in had], [row[plot.y] for row in had], ".", alpha=0.5, color=colour)
            line = [row[plot.x] for row in best], [row[plot.y] for row in best]
            axes.step(*line, where="post", color=colour, label=group)
        axes.set_xlabel(plot.labels[0])
        axes.set_ylabel(plot.labels[1])
        axes.set_title(title)
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        if any(groups):
            axes.legend()
    save_figure(figure, path)
