"""Pairs of figures of which less of one and more of the other is wanted, and the points that are best in both."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Plot:
    """Two figures: less of `x` and more of `y` is better; `labels` are their names for people."""

    x: str
    y: str
    labels: tuple[str, str]

    def has(self, row: Row) -> bool:
        """A point has both figures."""
        return row.get(self.x) is not None and row.get(self.y) is not None


PLOTS = (
    Plot("lut", "tokens_per_second", ("LUTs", "tokens per second")),
    Plot("kl", "tokens_per_second", ("KL(float || design) in nats", "tokens per second")),
)
"""Of each that points have the figures of, a drawing is made."""


def front(rows: Iterable[Row], plot: Plot) -> list[Row]:
    """The points than which no other is better in one figure and no worse in the other; by `x`, from the least on.

    Of several that are equal in both, the first.
    """
    best: list[Row] = []
    for row in sorted(filter(plot.has, rows), key=lambda row: (row[plot.x], -row[plot.y])):
        if not best or row[plot.y] > best[-1][plot.y]:
            best.append(row)
    return best
