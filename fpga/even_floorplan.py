"""How many of a core's like parts go on each die so that none is much fuller than another."""

import re
from collections.abc import Iterator, Mapping, Sequence

from einloom.fpga.floorplan import MANY, Counts, counts_of, floorplan, on_dies
from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import Part
from einloom.spec.floorplan_config import DIES, FloorplanConfig
from einloom.spec.manifest import CoreManifest

KINDS = ("lut", "dsp", "bram36", "uram")
"""Of which a die may run out; registers and carries never were the scarcest."""
STEEPNESS = 12
"""Power of a share of a die; so high that the fullest one counts, and others while it can't be helped."""
NEVER = {"weight_queues": (0,), "cache_masters": (2,)}
"""Dies on which a part would be far from all that it talks to."""


def even_floorplan(
    core: CoreManifest, parts: Mapping[str, Part], top: str, rooms: Sequence[Resources]
) -> FloorplanConfig | None:
    """The numbers of parts with which the fullest resource of any die is as low as moves of single parts make it.

    Parameters
    ----------
    parts : the synthesised parts of a design, by name; `top` is the top one's.
    rooms : what each die has for it, the one beside the HBM first.

    Returns None where the core has no such parts in numbers.
    """
    plan, counts = floorplan(core, FloorplanConfig()), counts_of(core, FloorplanConfig())
    each = {key: found for key in MANY if (found := _one(parts, top, MANY[key])) is not None}
    if len(each) < len(MANY) or len(rooms) != DIES:
        return None
    held = list(on_dies(plan, parts, top).values())
    while True:
        move = min(_moves(each, counts), key=lambda move: _fullness(_moved(held, each, move), rooms))
        after = _moved(held, each, move)
        if _fullness(after, rooms) >= _fullness(held, rooms):
            return FloorplanConfig(**counts)
        key, source, to = move
        held = after
        counts[key] = _with(counts[key], source, to)


Move = tuple[str, int, int]
"""A part's key, the die that it leaves, and the one that it goes to."""


def _one(parts: Mapping[str, Part], top: str, path: str) -> Resources | None:
    """Resources of the first part at a path of floorplan.MANY, with the reader beside an attention lane."""
    *outer, last = path.split("/")
    module = parts[top]
    for name in outer:
        if name not in module.instances:
            return None
        module = parts[module.instances[name]]
    pattern = re.compile(last.replace("#", r"\d+") if "#" in last else rf"{last}\d+")
    found = [parts[of].total for name, of in module.instances.items() if pattern.fullmatch(name)]
    return found[0] if found else None


def _moves(each: Mapping[str, Resources], counts: Mapping[str, Counts]) -> Iterator[Move]:
    for key in each:
        for source in range(DIES):
            for to in range(DIES):
                if counts[key][source] and source != to and to not in NEVER.get(key, ()):
                    yield key, source, to


def _with(counts: Counts, source: int, to: int) -> Counts:
    first, second, third = (n - (die == source) + (die == to) for die, n in enumerate(counts))
    return first, second, third


def _moved(held: Sequence[Resources], each: Mapping[str, Resources], move: Move) -> list[Resources]:
    key, source, to = move
    after = list(held)
    after[source] -= each[key]
    after[to] += each[key]
    return after


def _fullness(held: Sequence[Resources], rooms: Sequence[Resources]) -> float:
    """Of all dies; larger for one that is fuller than the others."""
    shares = (getattr(h, kind) / getattr(room, kind) for h, room in zip(held, rooms, strict=True) for kind in KINDS)
    return float(sum((share + 1e-3) ** STEEPNESS for share in shares))
