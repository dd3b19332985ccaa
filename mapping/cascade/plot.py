"""The graph of a cascade, drawn with its passes as bands."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from einloom.mapping.cascade.model import Cascade
from einloom.mapping.cascade.passes import RankPasses
from einloom.mapping.cascade.report import CascadeReport
from einloom.spec.errors import InputError, ToolError
from einloom.spec.files import write_file

BANDS = ("#e8f0fa", "#fdf1e3", "#e9f6ec", "#f7e9f3", "#f2f2e4")
BOX = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "#33475b"}
INPUT_BOX = {"boxstyle": "square,pad=0.3", "facecolor": "#eeeeee", "edgecolor": "#888888"}


def plot(report: CascadeReport, path: Path) -> None:
    """Draw the cascade into a .png or .svg file: inputs on top, then one band for each pass over the busiest rank."""
    if path.suffix not in {".png", ".svg"}:
        raise InputError(f"{path}: a plot is a .png or .svg file")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError("--plot needs matplotlib: install einloom with its extra 'docs'") from error
    busiest = max(
        report.passes.ranks, key=lambda entry: (entry.count.constant or 1 << 30, _reductions_over(report, entry))
    )
    rows, bands = _layout(report, busiest)
    width = max(len(row) for row in rows)
    _untangle(report.cascade, rows)
    figure = Figure(figsize=(max(6.0, 2.0 * width + 1), 0.85 * len(rows) + 1), layout="constrained")
    axes = figure.add_subplot()
    at = {name: ((n + 0.5) * width / len(row), -y) for y, row in enumerate(rows) for n, name in enumerate(row)}
    _draw_bands(axes, bands, busiest.rank)
    _draw_nodes(axes, report, at)
    axes.set_title(f"{report.cascade.name}: passes over {busiest.rank}: {busiest.count}")
    axes.set(xlim=(-0.2, width + 0.2), ylim=(0.6 - len(rows), 0.7))
    axes.axis("off")
    drawn = io.BytesIO()
    # No date in the file: the same cascade gives the same bytes.
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(drawn, format=path.suffix[1:], dpi=150, metadata=metadata)
    write_file(path, drawn.getvalue())


def _reductions_over(report: CascadeReport, entry: RankPasses) -> int:
    return sum(bool(entry.family.variables & set(einsum.reduced)) for einsum in report.cascade.einsums)


def _layout(report: CascadeReport, busiest: RankPasses) -> tuple[list[list[str]], list[tuple[int, int, int]]]:
    """Rows of nodes from the top, and (pass, first row, last row) of each band."""
    cascade = report.cascade
    stage: dict[str, int] = {}
    for einsum in cascade.einsums:
        before = [stage.get(access.tensor, 1) for access in einsum.reads]
        stage[einsum.tensor] = max([stage.get(einsum.tensor, 1), busiest.pass_of(einsum) or 1, *before])
    level: dict[str, int] = {}
    for einsum in cascade.einsums:
        band = stage[einsum.tensor]
        inner = [
            read.tensor for read in einsum.reads if stage.get(read.tensor) == band and read.tensor != einsum.tensor
        ]
        level[einsum.tensor] = max([level.get(einsum.tensor, 0), *(level.get(name, -1) + 1 for name in inner)])
    rows, bands = [list(cascade.inputs)] if cascade.inputs else [], []
    for number in sorted(set(stage.values())):
        first = len(rows)
        for deep in range(max(level[name] for name in stage if stage[name] == number) + 1):
            row = [name for name in stage if stage[name] == number and level[name] == deep]
            rows += [row] if row else []
        bands.append((number, first, len(rows) - 1))
    return rows, bands


def _untangle(cascade: Cascade, rows: list[list[str]]) -> None:
    """Order each row by where what it reads stands."""
    place: dict[str, float] = {}
    for row in rows:
        for name in row:
            reads = [access.tensor for einsum in cascade.writers(name) for access in einsum.reads]
            above = [place[tensor] for tensor in reads if tensor in place]
            place[name] = sum(above) / len(above) if above else (row.index(name) + 0.5) / len(row)
        row.sort(key=place.__getitem__)
        for n, name in enumerate(row):
            place[name] = (n + 0.5) / len(row)


def _draw_bands(axes: Any, bands: list[tuple[int, int, int]], rank: str) -> None:
    for number, first, last in bands:
        axes.axhspan(-last - 0.45, -first + 0.45, color=BANDS[(number - 1) % len(BANDS)], zorder=0)
        axes.text(-0.15, -first + 0.4, f"{rank}: pass {number}", fontsize=8, va="top", color="#555555")


def _draw_nodes(axes: Any, report: CascadeReport, at: Mapping[str, tuple[float, float]]) -> None:
    cascade, live = report.cascade, report.footprints.live
    boxes = {}
    for name, (x, y) in at.items():
        label = f"{name}[{', '.join(cascade.tensors[name])}]\nlive: {live[name]}"
        style = INPUT_BOX if name in cascade.inputs else BOX
        text = axes.text(x, y, label, ha="center", va="center", fontsize=7, bbox=style, zorder=3)
        boxes[name] = text.get_bbox_patch()
    for einsum in cascade.einsums:
        for tensor in dict.fromkeys(access.tensor for access in einsum.reads if access.tensor != einsum.tensor):
            up = at[tensor][1] <= at[einsum.tensor][1]  # from one coordinate of an iterative rank to the next
            style = {"arrowstyle": "-|>", "color": "#c0392b" if up else "#33475b"}
            style |= {"connectionstyle": f"arc3,rad={0.25 if up else 0.05}"}
            ends = {"patchA": boxes[tensor], "patchB": boxes[einsum.tensor], "shrinkA": 0, "shrinkB": 1}
            axes.annotate("", at[einsum.tensor], at[tensor], arrowprops={**style, **ends}, zorder=2)
