"""einloom/timeline.py: a job's instructions as events that trace viewers open."""

import json

from einloom.spec.instruction import assemble
from einloom.spec.isa import UNITS, Unit
from einloom.timeline import trace_events


def test_every_instruction_is_a_slice_in_its_units_row() -> None:
    instructions = [assemble("load words=2"), assemble("vector op=mad outer=1 inner=2")]
    units = [UNITS.index(Unit.LOAD), UNITS.index(Unit.VECTOR)]
    events = [(units[0], 0, 3, 10), (units[1], 1, 11, 11)]
    told = json.loads(trace_events(events, instructions, ["tables", "norm"]))["traceEvents"]
    rows = {event["tid"]: event["args"]["name"] for event in told if event["ph"] == "M"}
    slices = [event for event in told if event["ph"] == "X"]
    assert [rows[event["tid"]] for event in slices] == ["load", "vector"]
    assert [(event["ts"], event["dur"]) for event in slices] == [(3, 8), (11, 1)]
    assert slices[0]["args"] == {"instruction": 0, "note": "tables", "text": "load words=2"}
