"""Which part of a core goes on which die of a card, and what each die then holds."""

import re
from collections.abc import Mapping, Sequence

from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import Part
from einloom.hw.array.engine import grids_of
from einloom.spec.errors import InputError
from einloom.spec.floorplan_config import FloorplanConfig
from einloom.spec.manifest import CoreManifest

PORTS, MIDDLE, FAR = "SLR0", "SLR1", "SLR2"
"""The die beside HBM and PCIe, where ports are; the one in the middle, where all units meet; the third one."""
LANES_ON_MIDDLE = 0.6
"""Share of many attention lanes that goes beside the vector unit; the rest goes beside the GEMM engine."""
GRIDS_ON_MIDDLE = 0.375
"""Share of the grids of an engine as wide as a card's memory, whose DSPs would be most of a die's."""
GRIDS_ON_PORTS = 0.375
"""Share of the grids that goes beside the HBM as well, where all of them make more than MANY_PRODUCTS a cycle."""
MANY_PRODUCTS = 4096
QUEUES_ON_MIDDLE = 0.5
"""Share of its queues of weights, whose UltraRAM would be."""
GEARBOXES_ON_PORTS = 0.25
"""Share of its gearboxes beside the HBM, where there are LUTs left."""
GEARBOXES_BESIDE_GRIDS = 0.0625
"""The same where grids are there, too."""
MASTERS_ON_PORTS = 0.625
"""Share of its masters of keys and values beside the HBM, where their queues would take most of the block RAM."""

Plan = Mapping[str, tuple[str, ...]]
"""Paths of instances by die, from the core's top module; * stands for any letters of a name. None holds another."""


Counts = tuple[int, int, int]
"""Of a part, on each die."""


def floorplan(core: CoreManifest, given: FloorplanConfig) -> Plan:
    """Instances by die, for a kernel that takes all three.

    Parts that are not named, such as what joins the units, are for the placer to place. InputError with the config's
    key where the numbers that are given do not add up to what the core has.
    """
    machine, gemm = "machine/", "machine/gemm_unit/"
    counts = counts_of(core, given)
    grids = grids_of(core.gemm.weights.channels)
    ports = ["*mux", "*_crossing", "*_log", "registers", "supervisor", "reporter"]
    ports += [machine + name for name in ("sequencer", "load_unit", "weights_unit", "store_unit")]
    middle = [machine + name for name in ("vector_unit", "memory", "attention_floats", "attend_extent", "*_queue")]
    far = [gemm + name for name in ("activations*", "sums")]
    dies = (ports, middle, far)
    if core.attention_lanes > 1:
        middle += [f"{machine}attention_unit/{name}" for name in ("arbiter", "pending")]
        _place(dies, counts["attention_lanes"], *(f"{machine}attention_unit/{part}_" for part in ("lane", "reader")))
    else:
        middle.append(f"{machine}attention_unit")
    if grids == 1:
        ports.append("*_master")
        far += [gemm + name for name in ("engine", "weights_*")]
        return {PORTS: tuple(ports), MIDDLE: tuple(middle), FAR: tuple(far)}
    ports += [f"{name}_master" for name in ("program", "load", "store", "weights*", "key_values*")]
    far += [f"{gemm}engine/{name}" for name in ("sequencer", "control*", "drain", "columns_*")]
    for key, path in MANY.items():
        if key != "attention_lanes":
            _place(dies, counts[key], path)
    return {PORTS: tuple(ports), MIDDLE: tuple(middle), FAR: tuple(far)}


MANY = {
    "attention_lanes": "machine/attention_unit/lane_",
    "grids": "machine/gemm_unit/engine/grid_",
    "gearboxes": "machine/gemm_unit/engine/gearbox_",
    "weight_queues": "machine/gemm_unit/weights_",
    "cache_masters": "cache#_master",
}
"""Parts of which a wide core has many, by the floorplan's keys: their paths, without the number, or with # for it."""


def counts_of(core: CoreManifest, given: FloorplanConfig) -> dict[str, Counts]:
    """How many of each part are on each die, as given or by rules of thumb."""
    channels, grids, lanes = core.gemm.weights.channels, grids_of(core.gemm.weights.channels), core.attention_lanes
    many = core.gemm.columns * core.gemm.weights.lanes > MANY_PRODUCTS
    beside = round(grids * GRIDS_ON_PORTS) if many else 0
    on_middle = round((grids - beside) * GRIDS_ON_MIDDLE)
    with_hbm = round(channels * (GEARBOXES_BESIDE_GRIDS if many else GEARBOXES_ON_PORTS))
    queues, masters = round(channels * QUEUES_ON_MIDDLE), round(channels * MASTERS_ON_PORTS)
    counts: dict[str, Counts] = {
        "attention_lanes": (0, round(lanes * LANES_ON_MIDDLE), lanes - round(lanes * LANES_ON_MIDDLE)),
        "grids": (beside, on_middle, grids - beside - on_middle),
        "gearboxes": (with_hbm, 0, channels - with_hbm),
        "weight_queues": (0, queues, channels - queues),
        "cache_masters": (masters, channels - masters, 0),
    }
    for key, rule in counts.items():
        if (wanted := getattr(given, key)) is None:
            continue
        if sum(wanted) != sum(rule):
            raise InputError(f"floorplan.{key}: {list(wanted)} are {sum(wanted)}, and the core has {sum(rule)} of them")
        counts[key] = wanted
    return counts


def _place(dies: Sequence[list[str]], counts: Counts, *paths: str) -> None:
    """Put so many instances on each die, by number, of parts whose paths end with it or have # for it."""
    ends = [sum(counts[: die + 1]) for die in range(len(counts))]
    for n in range(ends[-1]):
        die = next(die for die, end in enumerate(ends) if n < end)
        dies[die].extend(path.replace("#", str(n)) if "#" in path else f"{path}{n}" for path in paths)


def on_dies(plan: Plan, parts: Mapping[str, Part], top: str) -> dict[str, Resources]:
    """What each die of a plan holds.

    What the plan does not name counts for the middle die, as it lies between parts on all of them.

    Parameters
    ----------
    parts : the synthesised parts of a design, by name.
    top : name of the top part.
    """
    named = [
        (die, re.compile(path.replace("*", r"\w*") + "$"), path.count("/"))
        for die, paths in plan.items()
        for path in paths
    ]
    deepest = max(depth for _, _, depth in named)
    found = dict.fromkeys(plan, Resources())

    def visit(name: str, path: str, depth: int) -> None:
        found[MIDDLE] += parts[name].own
        for instance, module in parts[name].instances.items():
            inside = path + instance
            die = next((die for die, pattern, _ in named if pattern.match(inside)), None)
            if die:
                found[die] += parts[module].total
            elif depth < deepest:
                visit(module, f"{inside}/", depth + 1)
            else:
                found[MIDDLE] += parts[module].total

    visit(top, "", 0)
    return found
