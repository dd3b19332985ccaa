"""The plot of `einloom evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from einloom.plots import save_figure

if TYPE_CHECKING:
    from einloom.evaluation import EvaluationReport


def plot_positions(path: Path, report: "EvaluationReport") -> None:
    """Draw loss and divergence of each bin of positions, and the error of each layer, into the file `path`."""
    figure = Figure(figsize=(8, 8), layout="constrained")
    losses, divergence, errors = figure.subplots(3, 1)
    divergence.sharex(losses)
    places = [(part.first + part.last) / 2 for part in report.bins]
    losses.plot(places, [part.loss for part in report.bins], marker=".", label=report.config)
    losses.plot(places, [part.float_loss for part in report.bins], marker=".", label="float")
    losses.set_ylabel("loss in nats")
    losses.legend()
    divergence.plot(places, [part.kl for part in report.bins], marker=".")
    divergence.set_ylabel("KL(float || design) in nats")
    divergence.set_xlabel("position in a window")
    divergence.set_ylim(bottom=0)
    errors.plot(range(len(report.layers)), [100 * error for error in report.layers], marker=".")
    errors.set_ylabel("error of the residual\nstream in %")
    errors.set_xlabel("layer")
    errors.set_ylim(bottom=0)
    save_figure(figure, path)
