"""A picture of what each unit of a core did when."""

import json
from collections.abc import Sequence
from pathlib import Path

from einloom.spec.errors import InputError
from einloom.spec.files import write_file
from einloom.spec.instruction import Instruction
from einloom.spec.isa import UNITS

Event = tuple[int, int, int, int]
"""Unit, instruction, first and last cycle."""
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

    `part` (n, count) draws only the n-th of `count` equal parts of the time.
    """
    import matplotlib.pyplot as plt

    end = max((last for *_, last in events), default=1)
    shown = (end * part[0] / part[1], end * (part[0] + 1) / part[1])
    events = [e for e in events if e[3] >= shown[0] and e[2] <= shown[1]]

    figure, axes = plt.subplots(figsize=(14, 4), layout="constrained")
    names = [unit.name.lower() for unit in UNITS]
    for row in range(len(UNITS)):
        bars = [(first, last - first + 1) for unit, _, first, last in events if unit == row]
        colours = [COLOURS[instructions[index].opcode.name] for unit, index, _, _ in events if unit == row]
        axes.broken_barh(bars, (len(UNITS) - row - 1.4, 0.8), facecolors=colours)
    axes.set_yticks(range(len(UNITS)), reversed(names))
    axes.set_xlabel("cycle of the job")
    axes.set_xlim(*shown)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be drawn: {error}") from error
    finally:
        plt.close(figure)


def write_timeline(
    events: Sequence[Event], instructions: Sequence[Instruction], notes: Sequence[str], path: Path
) -> None:
    """Draw a job into an .svg or .png, or write a .json that Perfetto opens."""
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
