"""A picture of what each unit of a core did when."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from einloom.plots import require_plots, save_figure
from einloom.spec.files import write_file
from einloom.spec.instruction import Instruction
from einloom.spec.isa import UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Event = tuple[int, int, int, int]
"""Unit, instruction, first and last cycle."""
FINEST = 2000
"""Parts of a drawing's width that are told apart."""
COLOURS = {
    "weights": "#999999",
    "gemm": "#1f77b4",
    "vector": "#2ca02c",
    "attend": "#d62728",
    "load": "#9467bd",
    "tokens": "#9467bd",
    "store": "#ff7f0e",
    "store_kv": "#bcbd22",
}


def draw_timeline(
    events: Sequence[Event], instructions: Sequence[Instruction], path: Path, part: tuple[int, int] = (0, 1)
) -> None:
    """Draw a job: a row for each unit, a bar for each instruction from its start to its completion.

    `part` (n, count) draws only the n-th of `count` equal parts of the time. InputError when the file can't be written.
    """
    from matplotlib.figure import Figure

    end = max((last for *_, last in events), default=1)
    figure = Figure(figsize=(14, 4), layout="constrained")
    shown = (end * part[0] / part[1], end * (part[0] + 1) / part[1])
    timeline_axes(figure.add_subplot(), events, instructions, shown)
    save_figure(figure, path)


def timeline_axes(
    axes: "Axes", events: Sequence[Event], instructions: Sequence[Instruction], shown: tuple[float, float]
) -> None:
    """Draw the instructions of the cycles `shown`: a row for each unit, a bar for each instruction.

    Bars of one kind that would seem to touch are one.
    """
    finest = (shown[1] - shown[0]) / FINEST
    for row, unit in enumerate(UNITS):
        bars, colours = list[tuple[int, int]](), list[str]()
        for of, index, first, last in events:
            if of != row or last < shown[0] or first > shown[1]:
                continue
            colour = COLOURS[instructions[index].opcode.name]
            if bars and colours[-1] == colour and first - sum(bars[-1]) <= finest:
                begun = bars[-1][0]
                bars[-1] = begun, max(sum(bars[-1]), last + 1) - begun
            else:
                bars.append((first, last - first + 1))
                colours.append(colour)
        axes.broken_barh(bars, (len(UNITS) - row - 1.4, 0.8), facecolors=colours, gid=f"unit-{unit.name.lower()}")
    axes.set_yticks(range(len(UNITS)), [unit.name.lower() for unit in reversed(UNITS)])
    axes.set_xlabel("cycle of the job")
    axes.set_xlim(*shown)


def require_timeline(path: Path) -> None:
    """InputError when a job can't be drawn into the file that `--timeline` names."""
    if path.suffix != ".json":
        require_plots(path, "--timeline", (".svg", ".png", ".pdf", ".json"))


def write_timeline(
    events: Sequence[Event], instructions: Sequence[Instruction], notes: Sequence[str], path: Path
) -> None:
    """Draw a job into an .svg or .png, or write a .json that Perfetto opens; InputError on other files."""
    require_timeline(path)
    if path.suffix == ".json":
        write_file(path, trace_events(events, instructions, notes))
    else:
        draw_timeline(events, instructions, path)


def trace_events(events: Sequence[Event], instructions: Sequence[Instruction], notes: Sequence[str]) -> bytes:
    """The job in the trace-event format that Perfetto and chrome://tracing open, as JSON.

    A row for each unit, and a slice for each instruction, with its note, number and text. A microsecond there is a
    cycle here.
    """
    rows = [
        {"name": "thread_name", "ph": "M", "pid": 0, "tid": unit, "args": {"name": UNITS[unit].name.lower()}}
        for unit in range(len(UNITS))
    ]
    slices = [
        {
            "name": instructions[index].opcode.name,
            "cat": notes[index] if notes else "",
            "ph": "X",
            "pid": 0,
            "tid": unit,
            "ts": first,
            "dur": last - first + 1,
            "args": {"instruction": index, "note": notes[index] if notes else "", "text": str(instructions[index])},
        }
        for unit, index, first, last in events
    ]
    return json.dumps({"traceEvents": rows + slices, "displayTimeUnit": "ns"}).encode()
