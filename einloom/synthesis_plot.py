"""The bar chart of `einloom synth`."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from einloom.fpga.boards import Board
from einloom.fpga.synthesise import Synthesis
from einloom.plots import save_figure

SHOWN = 15


def plot_parts(path: Path, results: Mapping[str, Synthesis], board: Board | None) -> None:
    """Draw what all copies of each part take, the largest parts first, into the file `path`."""
    parts = [part for result in results.values() for part in result.parts]
    keys = ("lut", "ff") if board else ("area_um2",)
    parts.sort(key=lambda part: -getattr(part.own, keys[0]) * part.copies)
    shown = parts[:SHOWN][::-1]
    figure = Figure(figsize=(8, 0.5 + 0.35 * len(shown) * len(keys) ** 0.5), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(keys)
    for n, key in enumerate(keys):
        widths = [getattr(part.own, key) * part.copies for part in shown]
        axes.barh([y - n * height for y in range(len(shown))], widths, height, label=key)
    names = [f"{part.name} x {part.copies:,}" if part.copies > 1 else part.name for part in shown]
    axes.set_yticks([y - height * (len(keys) - 1) / 2 for y in range(len(shown))], names)
    axes.set_xlabel("LUTs and flip-flops" if board else "square micrometres")
    axes.legend()
    save_figure(figure, path)
