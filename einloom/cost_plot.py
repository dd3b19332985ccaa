"""The plots of `einloom cost`: a roofline, and a timeline of the units."""

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from einloom.mapping.cost.roofline import ATTENTION, Roof
from einloom.plots import save_figure
from einloom.spec.isa import UNITS, Unit
from einloom.timeline import timeline_axes

if TYPE_CHECKING:
    from einloom.costing import CostReport

ROOF_COLOURS = ("#1f77b4", "#d62728")
MARKERS = "osD^v<>pPX*h"
AHEAD = (UNITS.index(Unit.WEIGHTS), UNITS.index(Unit.LOAD))
"""Units that work for a layer before it begins."""


def plot_cost(path: Path, report: "CostReport") -> None:
    """Draw the roofline, and the timeline of the token's job below it, into the file `path`."""
    figure = Figure(figsize=(13, 10), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(2, 1))
    roofline_axes(above, report)
    timeline_axes(below, report.step.events, report.program.instructions, (0, report.step.cycles))
    save_figure(figure, path)


def roofline_figure(report: "CostReport") -> Figure:
    """The roofline alone."""
    figure = Figure(figsize=(13, 6), layout="constrained")
    roofline_axes(figure.add_subplot(), report)
    return figure


def timeline_figure(report: "CostReport", shown: tuple[int, int]) -> Figure:
    """What each unit does in the cycles `shown` of the token's job."""
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    timeline_axes(figure.add_subplot(), report.step.events, report.program.instructions, shown)
    return figure


def layer_span(report: "CostReport", layer: str) -> tuple[int, int]:
    """First and last cycle of a layer in the token's job, but for what is fetched before it begins."""
    notes = report.program.notes
    own = [
        (first, last)
        for unit, index, first, last in report.step.events
        if unit not in AHEAD and notes[index].startswith((f"{layer}:", f"{layer}."))
    ]
    return min(first for first, _ in own), max(last for _, last in own)


def roofline_axes(axes: Axes, report: "CostReport") -> None:
    """MACs a second against MACs per byte of memory: the roofs as lines, each operation as a dot."""
    step, giga = report.step, report.clock_mhz / 1e3
    wholes = [step.whole, *([] if report.prompt_work is None else [report.prompt_work])]
    places = [work.intensity for work in (*step.work, *wholes)]
    ridges = [roof.macs / roof.bytes for roof in report.roofs]
    span = min(*places, *ridges) / 3, max(*places, *ridges) * 3
    for roof, colour in zip(report.roofs, ROOF_COLOURS, strict=True):
        _draw_roof(axes, roof, colour, span, giga)
    products = [work for work in step.work if work.name != ATTENTION]
    for number, work in enumerate(step.work):
        is_product = work.name != ATTENTION
        marker = MARKERS[products.index(work) % len(MARKERS)] if is_product else "o"
        colour = ROOF_COLOURS[not is_product]
        place = [work.intensity], [work.rate * giga]
        axes.plot(*place, marker, color=colour, alpha=0.7, label=work.name, gid=f"dot-{number}")
    for number, (work, marker) in enumerate(zip(wholes, "*P", strict=False)):
        axes.plot(
            [work.intensity],
            [work.rate * giga],
            marker,
            color="black",
            markersize=11,
            label=f"{work.name}: {work.rate * giga:,.3g} GMAC/s",
            gid=f"whole-{number}",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*span)
    axes.set_xlabel("MACs per byte of memory")
    axes.set_ylabel("GMAC/s")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small")


def _draw_roof(axes: Axes, roof: Roof, colour: str, span: tuple[float, float], giga: float) -> None:
    """A roof's slope and level, and the level of a job that fills only some of the rows."""
    levels = [(roof.macs, "-", f"{roof.name}: {roof.macs * giga:,.4g} GMAC/s, {roof.bytes * giga:,.4g} GB/s")]
    if roof.macs_of_job != roof.macs:
        levels.append((roof.macs_of_job, "--", f"{roof.name} of one token: {roof.macs_of_job * giga:,.4g} GMAC/s"))
    for level, style, label in levels:
        places = sorted({span[0], min(max(span[0], level / roof.bytes), span[1]), span[1]})
        heights = [min(level, roof.bytes * place) * giga for place in places]
        axes.plot(places, heights, style, color=colour, label=label)
