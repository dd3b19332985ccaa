"""A sweep as one page of HTML: drawings and a table that sorts by the column that is clicked."""

from collections.abc import Sequence
from html import escape

from einloom.sweeps.chart import Drawing, chart

STYLE = """
body { font: 14px sans-serif; margin: 2em; }
svg { max-width: 760px; display: block; font: 12px sans-serif; }
table { border-collapse: collapse; }
th, td { padding: 2px 8px; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums; }
th { cursor: pointer; position: sticky; top: 0; background: #fff; }
td:last-child { text-align: left; color: #a00; }
"""
SCRIPT = """
// A click sorts by a column, the next one the other way round; cells without a value stay last.
const table = document.querySelector("table"), body = table.tBodies[0];
table.tHead.addEventListener("click", event => {
  const head = event.target.closest("th");
  if (!head) return;
  const column = head.cellIndex, sign = head.dataset.sign === "1" ? -1 : 1;
  head.dataset.sign = sign;
  const text = row => row.cells[column].textContent;
  const order = (a, b) => (a !== "" && b !== "" && !isNaN(a) && !isNaN(b)) ? a - b : a.localeCompare(b);
  const rows = [...body.rows].sort((a, b) => {
    const x = text(a), y = text(b);
    return (x === "") - (y === "") || sign * order(x, y);
  });
  body.append(...rows);
});
"""


def page(
    title: str,
    summary: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    drawings: Sequence[Drawing],
    axes: Sequence[str],
) -> str:
    """The page; `axes` are the columns that tell points apart."""
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    charts = "\n".join(f"<h2>{escape(_heading(d))}</h2>\n{chart(*d, axes)}" for d in drawings)
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>
<body>
<h1>{escape(title)}</h1>
<p>{escape(summary)}</p>
{charts}
<table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _heading(drawing: Drawing) -> str:
    plot, _ = drawing
    return f"{plot.labels[1][:1].upper()}{plot.labels[1][1:]} against {plot.labels[0]}"
