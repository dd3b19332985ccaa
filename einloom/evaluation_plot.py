"""The plot of `einloom evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from einloom.evaluation import EvaluationReport


def plot_positions(path: Path, report: "EvaluationReport") -> None:
    """Draw loss and divergence of each bin of positions into the file `path`."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    losses, divergence = figure.subplots(2, 1, sharex=True)
    places = [(part.first + part.last) / 2 for part in report.bins]
    losses.plot(places, [part.loss for part in report.bins], marker=".", label=report.config)
    losses.plot(places, [part.float_loss for part in report.bins], marker=".", label="float")
    losses.set_ylabel("loss in nats")
    losses.legend()
    divergence.plot(places, [part.kl for part in report.bins], marker=".")
    divergence.set_ylabel("KL(float || design) in nats")
    divergence.set_xlabel("position in a window")
    divergence.set_ylim(bottom=0)
    figure.savefig(path)
