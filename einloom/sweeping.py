"""A grid or a sample of configs, jobs and models: what each point costs, takes and loses, in one table."""

import csv
import io
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from einloom.elsewhere import run_elsewhere
from einloom.html import rows_table
from einloom.plots import require_plots
from einloom.spec.errors import InputError
from einloom.spec.files import write_folder
from einloom.spec.sweep_file import JOB
from einloom.sweeps.axes import shown
from einloom.sweeps.kept import KeptRows
from einloom.sweeps.measures import ERROR, Identity, Row, code_digest, columns, measure_point
from einloom.sweeps.page import page
from einloom.sweeps.pareto import PLOTS, Plot, front
from einloom.sweeps.plan import Plan, Point, Settings, read_plan

KEPT, TABLE, PAGE = "points.jsonl", "sweep.csv", "sweep.html"
"""Files of a sweep's folder."""
Advance = Callable[[int, int], None]
"""Told (points done, points in all)."""


@dataclass(frozen=True)
class SweepReport:
    """The points of a sweep.

    Attributes
    ----------
    axes : columns of what points differ in; the others are figures.
    rows : of all points, in the order of the grid: value by column.
    reused : rows that an earlier run had kept.
    bugs : points at which einloom failed by a bug; they are measured again next time.
    seconds : that the sweep took.
    """

    name: str
    axes: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    reused: int
    bugs: int
    seconds: float

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """Axes of which there is more than one value."""
        return tuple(axis for axis in self.axes if len({shown(row[axis]) for row in self.rows}) > 1)

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the figures."""
        return tuple(name for name in self.columns if name not in (*self.axes, ERROR))

    @property
    def empty(self) -> bool:
        """No point has any figure."""
        return all(row[name] is None for row in self.rows for name in self.measured)

    @property
    def errors(self) -> Counter[str]:
        """How many points each error keeps from a figure."""
        return Counter(row[ERROR] for row in self.rows if row[ERROR])

    @property
    def failed(self) -> int:
        """Points with an error."""
        return self.errors.total()

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table."""
        return tuple(self.rows[0])

    @property
    def plots(self) -> tuple[Plot, ...]:
        """Pairs of figures that some points have."""
        return tuple(plot for plot in PLOTS if any(plot.has(row) for row in self.rows))

    def groups(self) -> dict[str, list[Mapping[str, Any]]]:
        """Rows of the same model and the same job, which can be compared, by what the others have another of."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.rows:
            parts = [row["model"]] if "model" in self.varied else []
            parts += [f"{a.removeprefix(JOB)} {shown(row[a])}" for a in self.varied if a.startswith(JOB)]
            found.setdefault(", ".join(parts), []).append(row)
        return found

    def fronts(self, plot: Plot) -> list[Mapping[str, Any]]:
        """Points of each group than which none of the group is better in one figure and no worse in the other."""
        return [row for rows in self.groups().values() for row in front(rows, plot)]

    @property
    def csv(self) -> str:
        """The table. It is the same wherever, and however often interrupted, the sweep ran."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([shown(value) for value in row.values()] for row in self.rows)
        return text.getvalue()

    @property
    def html(self) -> str:
        """A page with plots and the table, which needs no other file."""
        cells = [[shown(value) for value in row.values()] for row in self.rows]
        summary = f"{len(self.rows):,} points, {self.failed:,} with an error"
        drawn = [(plot, self.groups()) for plot in self.plots]
        return page(self.name, summary, self.columns, cells, drawn, self.varied)

    def write(self, folder: str | Path) -> None:
        """Write table and page into `folder`; InputError when that fails, with nothing half-written."""
        write_folder(Path(folder), {TABLE: self.csv.encode(), PAGE: self.html.encode()})

    def plot(self, path: str | Path) -> None:
        """Draw the figures against each other into an .svg, .png or .pdf; InputError without matplotlib, or figures."""
        require_plots(Path(path))
        if not self.plots:
            pairs = " or ".join(f"{plot.x} and {plot.y}" for plot in PLOTS)
            raise InputError(f"--plot {path}: no point has {pairs}")
        from einloom.sweeps.plot import plot_points  # needs an optional package

        plot_points(Path(path), self.name, [(plot, self.groups()) for plot in self.plots])

    def figures(self) -> dict[str, Any]:
        """Figures that `einloom sweep --json` prints."""
        return {
            "name": self.name,
            "points": len(self.rows),
            "failed": self.failed,
            "errors": dict(self.errors.most_common()),
            "reused": self.reused,
            "fronts": {f"{plot.y} over {plot.x}": self.fronts(plot) for plot in self.plots},
            "rows": list(self.rows),
            "seconds": round(self.seconds, 1),
        }

    def _repr_html_(self) -> str:
        return rows_table(self.name, self.columns, ([shown(v) for v in row.values()] for row in self.rows))


def require_pairs(path: Path, plan: Plan) -> None:
    """InputError when nothing that a sweep measures could be drawn into the file `path`."""
    names = columns(plan.settings)
    if not any(plot.x in names and plot.y in names for plot in PLOTS):
        measured = " and ".join(plan.settings.measures)
        raise InputError(
            f"--plot {path}: the sweep measures {measured}, but a plot has speed over LUTs or over KL: measure cost, "
            "and resources or fidelity"
        )


def sweep(
    sweep: str | Path | Mapping[str, Any] | Plan,
    output: str | Path | None = None,
    *,
    jobs: int | None = None,
    scheduler: str = "",
    advance: Advance = lambda _done, _of: None,
) -> SweepReport:
    """Measure all points of a sweep.

    A point that no core or no model can be has its error in its row.

    Parameters
    ----------
    sweep : a file, a shipped sweep, the mapping that such a file has (docs/sweep.md), or what `read_plan` made of one.
    output : a folder in which points are kept as they are measured, so that a sweep that was ended goes on where it
        was, and which gets the table and the page at the end. Nothing is kept if None.
    jobs : processes that measure points side by side; as many as the machine has processors if None.
    scheduler : address of a Dask scheduler whose workers measure points instead; they must see the same files.
    advance : told how many points are done.

    ConfigError with all that is wrong with the file, ToolError when no scheduler answers or a tool is missing.
    """
    started = time.perf_counter()
    plan = sweep if isinstance(sweep, Plan) else read_plan(sweep)
    identity, names = Identity(plan.settings), columns(plan.settings)
    points = [plan.point(number) for number in plan.numbers]
    keys = [identity.key(point) for point in points]
    kept = None if output is None else KeptRows(Path(output) / KEPT, names)
    found = {} if kept is None else kept.load()
    waiting = {key: point for key, point in zip(keys, points, strict=True) if key not in found}
    reused, bugs = sum(key in found for key in keys), set[str]()
    copies, done = Counter(keys), reused

    def note(key: str, row: Row, result: bool) -> None:
        nonlocal done
        found[key], done = row, done + copies[key]
        if not result:
            bugs.add(key)
        elif kept is not None:
            kept.append(key, row)
        advance(done, len(keys))

    advance(reused, len(keys))
    _measure(waiting, plan.settings, os.cpu_count() or 1 if jobs is None else jobs, scheduler, note)
    rows = tuple(
        plan.labels(number) | {name: found[key][name] for name in names}
        for number, key in zip(plan.numbers, keys, strict=True)
    )
    report = SweepReport(plan.name, plan.columns, rows, reused, len(bugs), time.perf_counter() - started)
    if output is not None:
        report.write(output)
    return report


def _measure(
    waiting: Mapping[str, Point], settings: Settings, jobs: int, scheduler: str, note: Callable[[str, Row, bool], None]
) -> None:
    """Measure points by their keys; `note` is told each key, its row, and whether that is a result."""
    if jobs < 1:
        raise InputError(f"--jobs must be 1 or more, not {jobs}")
    keys, code = list(waiting), code_digest()
    if not scheduler and min(jobs, len(keys)) <= 1:
        for key in keys:
            note(key, *measure_point(waiting[key], settings, code))
        return
    tasks = [(waiting[key], settings, code) for key in keys]
    run_elsewhere(measure_point, tasks, min(jobs, len(keys)), scheduler, lambda n, found: note(keys[n], *found))
