"""The tables of `einloom cost`, for the terminal and for a page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from einloom.mapping.cost.program_cost import PartCost
from einloom.mapping.cost.roofline import Work

if TYPE_CHECKING:
    from einloom.costing import CostReport

LATE = 0.01
"""Parts that take less of a job are summed up."""
Row = tuple[str, ...]


class FigureTable(NamedTuple):
    """Rows of texts below headings. The first column is of names; those in `words` are of words, too."""

    title: str
    headings: Row
    rows: list[Row]
    words: tuple[str, ...] = ()


def summary(report: "CostReport") -> FigureTable:
    """What a token costs, and what would help most."""
    step = report.step
    rows: list[Row] = [
        ("cycles of a token", f"{step.cycles:,}"),
        ("seconds", f"{report.seconds_per_token:.6f} at {report.clock_mhz:g} MHz"),
        ("tokens per second", f"{1 / report.seconds_per_token:,.1f}"),
        ("bound", f"{step.bound}, {step.least[step.bound]:,} cycles if nothing waits"),
        ("share of that bound", f"{step.share_of_bound:.1%}"),
    ]
    if report.time_to_first_token is not None:
        rows += [
            ("cycles of the prompt", f"{report.prompt_cycles:,} of {report.prompt:,} tokens"),
            ("time to first token", f"{report.time_to_first_token:.4f} s"),
        ]
    name, left = report.helps_most
    faster = f"{step.cycles / left:.2f} times as fast"
    rows.append(("would help most", f"{name} without limit: {left:,} cycles, {faster}"))
    title = f"{report.manifest.name}, {report.format.name} weights, {report.memory} memory"
    return FigureTable(title, ("", f"position {step.position:,}"), rows)


def waits(report: "CostReport") -> FigureTable:
    """What the job waits for, and what would be left of it without each resource."""
    step, rows = report.step, list[Row]()
    for bound, cycles in step.bounds.items():
        least = step.least.get(bound)
        rows.append((str(bound), f"{cycles:,}", f"{cycles / step.cycles:.1%}", f"{least:,}" if least else ""))
    for name, cycles in report.without.items():
        rows.append((f"without limit: {name}", f"{cycles:,}", f"{cycles / step.cycles:.1%}", ""))
    return FigureTable("What a token waits for", ("", "cycles", "of all", "of its own work"), rows)


def operations(report: "CostReport") -> FigureTable:
    """The kinds of operations, with what each waits for most."""
    parts = [part for part in report.step.operations if part.cycles >= LATE * report.step.cycles]
    return _parts(report, "By kind of operation, in all layers", "operation", parts)


def layers(report: "CostReport") -> FigureTable:
    """The layers, with what each waits for most."""
    return _parts(report, "By layer", "layer", report.step.layers)


def _parts(report: "CostReport", title: str, kind: str, parts: "list[PartCost] | tuple[PartCost, ...]") -> FigureTable:
    step = report.step
    bounds = [bound for bound, cycles in step.bounds.items() if cycles]
    rows = [
        (part.name, f"{part.cycles:,}", str(part.bound), *(f"{part.bounds[bound]:,}" for bound in bounds))
        for part in parts
    ]
    if left := step.cycles - sum(part.cycles for part in parts):
        rows.append(("all others", f"{left:,}", "", *("" for _ in bounds)))
    return FigureTable(title, (kind, "cycles", "bound by", *map(str, bounds)), rows, ("bound by",))


def units(report: "CostReport") -> FigureTable:
    """Time of each unit."""
    rows: list[Row] = [
        (unit.name.lower(), f"{time.busy:,}", f"{time.waiting:,}", f"{time.starved:,}")
        for unit, time in report.step.units.items()
    ]
    return FigureTable("Units", ("unit", "at work", "waiting for permits", "starved"), rows)


def roofline(report: "CostReport") -> FigureTable:
    """MACs and bytes of the operations, and how near they come to their roofs."""
    headings = ("operation", "MACs", "bytes", "cycles", "MACs per byte", "GMAC/s", "of what is attainable")
    rows = list(_works(report))
    return FigureTable("Roofline", headings, rows)


def _works(report: "CostReport") -> Iterator[Row]:
    step = report.step

    def row(work: Work, attainable: float | None) -> Row:
        share = "" if attainable is None else f"{work.rate / attainable:.1%}"
        numbers = (f"{n:,}" for n in (work.macs, work.bytes, work.cycles))
        return work.name, *numbers, f"{work.intensity:.2f}", f"{work.rate * report.clock_mhz / 1e3:,.2f}", share

    for work in step.work:
        yield row(work, report.roof_of(work).attainable(work.intensity))
    yield row(step.whole, None)
    if report.prompt_work is not None:
        yield row(report.prompt_work, None)
