"""Schedules that were searched for before: kept by the shapes of the model, by the design, and by all code between."""

import json
from dataclasses import asdict

from einloom.mapping.cost.schedule_search import Found, ScheduleGoal, search
from einloom.mapping.schedule.schedule import Schedule
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.build_cache import cache_root, content_key, package_texts
from einloom.spec.errors import InputError
from einloom.spec.files import write_folder
from einloom.spec.formats import Format
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import MemoryTiming

ROOMS = ("einloom.spec", "einloom.models", "einloom.mapping")
FILE = "schedule.json"
STANDARD_NAME = "standard"


def cached_search(
    graph: DecoderGraph, manifest: Manifest, format: Format, context: int, goal: ScheduleGoal, timing: MemoryTiming
) -> Found:
    """What `search` finds, taken from the cache where it holds it; a damaged entry is made anew."""
    parts = [repr(graph), manifest.model_dump_json(), format.name, str(context), goal, repr(timing)]
    key = content_key([*parts, *package_texts(*ROOMS)])
    folder = cache_root() / "schedules" / f"{manifest.name}-{key}"
    try:
        kept = json.loads((folder / FILE).read_text())
        return Found(**kept | {"schedule": Schedule(**kept["schedule"]), "goal": ScheduleGoal(kept["goal"])})
    except (OSError, ValueError, TypeError, KeyError):
        found = search(graph, manifest, format, context, goal, timing)
    try:
        write_folder(folder, {FILE: json.dumps(asdict(found)).encode()})
    except InputError:
        pass  # the next run searches again
    return found


def schedule_named(
    name: str, graph: DecoderGraph, manifest: Manifest, format: Format, context: int, timing: MemoryTiming
) -> Found | None:
    """The best schedule for the goal of that name, None for the standard one; InputError for what is neither."""
    names = [STANDARD_NAME, *ScheduleGoal]
    if name not in names:
        raise InputError(f"--schedule must be {', '.join(names)}, not {name}")
    if name == STANDARD_NAME:
        return None
    return cached_search(graph, manifest, format, context, ScheduleGoal(name), timing)
