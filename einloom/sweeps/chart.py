"""A drawing of points in SVG, for a page that needs no other file."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from einloom.sweeps.axes import shown
from einloom.sweeps.pareto import Plot, Row, front

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf")
"""Of groups, in their order."""
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 20, 50
"""Margins."""
TICKS = 6
"""At most so many steps of an axis."""
CENTRED = 'text-anchor="middle"'
LEGEND = 12
"""Groups that are named beside their colours."""
Groups = Mapping[str, Sequence[Row]]
"""Points that can be compared, by what they have in common."""
Drawing = tuple[Plot, Groups]


class Axis:
    """Values from 0 on, in round steps, on so many pixels."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        most = max(values) or 1.0
        magnitude = 10.0 ** floor(log10(most / TICKS))
        self.step = next(s * magnitude for s in (1, 2, 5, 10) if most / (s * magnitude) <= TICKS)
        self.steps = ceil(most / self.step)
        self._first, self._scale = first, (last - first) / (self.steps * self.step)

    def at(self, value: float) -> float:
        """Pixel of a value."""
        return round(self._first + value * self._scale, 1)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Pixel and text of each step."""
        for n in range(self.steps + 1):
            yield self.at(n * self.step), f"{n * self.step:,.10g}"


def chart(plot: Plot, groups: Groups, axes: Sequence[str]) -> str:
    """Points of each group in its colour, and its front as a line; what a point is shows below the pointer."""
    had = [row for rows in groups.values() for row in rows if plot.has(row)]
    x = Axis([row[plot.x] for row in had], LEFT, WIDTH - RIGHT)
    y = Axis([row[plot.y] for row in had], HEIGHT - BOTTOM, TOP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    parts += _frame(plot, x, y)
    for n, (group, rows) in enumerate(groups.items()):
        colour = COLOURS[n % len(COLOURS)]
        parts += _group(plot, rows, colour, x, y, axes)
        if n < LEGEND and group:
            parts.append(_text(WIDTH - RIGHT, TOP + 16 * n + 12, group, f'text-anchor="end" fill="{colour}"'))
    return "\n".join([*parts, "</svg>"])


def _frame(plot: Plot, x: Axis, y: Axis) -> Iterator[str]:
    """Lines and texts of both axes."""
    low, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) // 2
    for at, text in x.ticks():
        yield f'<path d="M{at} {TOP}V{low}" stroke="#ddd"/>'
        yield _text(at, low + 18, text, CENTRED)
    for at, text in y.ticks():
        yield f'<path d="M{LEFT} {at}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield _text(LEFT - 6, at + 4, text, 'text-anchor="end"')
    yield _text((LEFT + WIDTH - RIGHT) // 2, HEIGHT - 8, plot.labels[0], CENTRED)
    yield _text(14, middle, plot.labels[1], f'{CENTRED} transform="rotate(-90 14 {middle})"')


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x}" y="{y}" {attributes}>{escape(text)}</text>'


def _group(plot: Plot, rows: Sequence[Row], colour: str, x: Axis, y: Axis, axes: Sequence[str]) -> Iterator[str]:
    best = front(rows, plot)
    path = "".join(
        f"M{x.at(row[plot.x])} {y.at(row[plot.y])}" if n == 0 else f"H{x.at(row[plot.x])}V{y.at(row[plot.y])}"
        for n, row in enumerate(best)
    )
    if path:
        yield f'<path d="{path}" fill="none" stroke="{colour}"/>'
    for row in filter(plot.has, rows):
        filled = colour if any(row is other for other in best) else "none"
        what = ", ".join(f"{axis} {shown(row[axis])}" for axis in axes)
        title = f"{row[plot.y]:,.6g} {plot.labels[1]}, {row[plot.x]:,.6g} {plot.labels[0]}: {what}"
        yield (
            f'<circle cx="{x.at(row[plot.x])}" cy="{y.at(row[plot.y])}" r="3.5" fill="{filled}" stroke="{colour}">'
            f"<title>{escape(title)}</title></circle>"
        )
