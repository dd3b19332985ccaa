"""Figures as a table of HTML, for notebooks."""

from collections.abc import Iterable, Mapping
from html import escape

Figure = str | int | float | bool | None


def shown(value: object) -> str:
    """A figure as people read it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return "n/a" if value is None else str(value)


def figures_table(title: str, figures: Mapping[str, object]) -> str:
    """Named figures below a title."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name.replace('_', ' '))}</th><td>{escape(shown(value))}</td></tr>"
        for name, value in figures.items()
    )
    return f"<table><caption>{escape(title)}</caption>{rows}</table>"


def rows_table(title: str, headings: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Rows below a line of headings."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(shown(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption><tr>{head}</tr>{body}</table>"
