"""The page of `einloom cost --html`: tables and plots in one file that needs no other."""

from html import escape
from typing import TYPE_CHECKING

from einloom import cost_tables
from einloom.cost_plot import layer_span, roofline_figure, timeline_figure
from einloom.cost_tables import FigureTable
from einloom.plots import inline_svg
from einloom.spec.version import VERSION

if TYPE_CHECKING:
    from einloom.costing import CostReport

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .15em .8em; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, .word { text-align: left; }
figure { margin: 1em 0; } figcaption { color: #555; }
svg { max-width: 100%; height: auto; }
h2 { margin-top: 2em; }
"""
ROOFLINE_CAPTION = (
    "Lines are roofs: the slope is what memory brings, the level what an engine multiplies with all rows of the array "
    "at work, dashed with those of one token. A dot is an operation in all layers, over the cycles in which its engine "
    "is at it; it lies above the slope where its weights were fetched while the engine did something else. MACs count "
    "zeros that fill up tiles, and attention's the positions that a token sees."
)


def cost_page(report: "CostReport") -> str:
    """The page. It has no date and no measured time, so the same prediction gives the same bytes."""
    manifest, step = report.manifest, report.step
    title = f"{manifest.name}: cost of a token at position {step.position:,}"
    layer = step.layers[(len(step.layers) - 1) // 2].name
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>Predicted by einloom {escape(VERSION)}; nothing was run on RTL or a card.</p>",
        f"<p>Config {escape(manifest.name)}, digest <code id='digest'>{escape(manifest.digest)}</code>.</p>",
        _table("summary", cost_tables.summary(report)),
        "<h2>Roofline</h2>",
        _figure("roofline", inline_svg(roofline_figure(report), "roofline"), ROOFLINE_CAPTION),
        _table("work", cost_tables.roofline(report)),
        "<h2>What bounds it</h2>",
        _table("waits", cost_tables.waits(report)),
        _table("operations", cost_tables.operations(report)),
        _table("layers", cost_tables.layers(report)),
        "<h2>Timeline of the units</h2>",
        _timeline(report, "timeline", (0, step.cycles), "The whole token."),
        _timeline(report, "timeline-of-layer", layer_span(report, layer), f"{layer} alone."),
        _table("units", cost_tables.units(report)),
    ]
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    body = "\n".join(parts)
    return f"<!DOCTYPE html>\n<html lang='en'><head>{head}</head><body>\n{body}\n</body></html>\n"


def _timeline(report: "CostReport", name: str, shown: tuple[int, int], caption: str) -> str:
    return _figure(name, inline_svg(timeline_figure(report, shown), name), caption)


def _figure(name: str, svg: str, caption: str) -> str:
    return f"<figure id='{name}'>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(name: str, table: FigureTable) -> str:
    """A table whose columns of words are flush left."""
    classes = [" class='word'" if heading in table.words else "" for heading in table.headings]
    head = "".join(f"<th{c}>{escape(h)}</th>" for c, h in zip(classes, table.headings, strict=True))
    rows = (
        "<tr>" + "".join(f"<td{c}>{escape(cell)}</td>" for c, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in table.rows
    )
    return f"<h3>{escape(table.title)}</h3><table id='{name}'><tr>{head}</tr>{''.join(rows)}</table>"
