"""Which part of a core goes on which die of a card, and what each die then holds."""

import re
from collections.abc import Iterable, Mapping

from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import Part
from einloom.hw.array.engine import grids_of
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


def floorplan(core: CoreManifest) -> Plan:
    """Instances by die, for a kernel that takes all three.

    Parts that are not named, such as what joins the units, are for the placer to place.
    """
    machine, gemm = "machine/", "machine/gemm_unit/"
    attention, channels = core.attention_lanes, core.gemm.weights.channels
    grids = grids_of(channels)
    ports = ["*mux", "*_crossing", "*_log", "registers", "supervisor", "reporter"]
    ports += [machine + name for name in ("sequencer", "load_unit", "weights_unit", "store_unit")]
    middle = [machine + name for name in ("vector_unit", "memory", "attention_floats", "attend_extent", "*_queue")]
    far = [gemm + name for name in ("activations*", "sums")]
    if attention > 1:
        middle += [f"{machine}attention_unit/{name}" for name in ("arbiter", "pending")]
        lanes = ([f"{machine}attention_unit/{part}_{n}" for part in ("lane", "reader")] for n in range(attention))
        _divide(lanes, LANES_ON_MIDDLE, middle, far)
    else:
        middle.append(f"{machine}attention_unit")
    if grids == 1:
        ports.append("*_master")
        far += [gemm + name for name in ("engine", "weights_*")]
        return {PORTS: tuple(ports), MIDDLE: tuple(middle), FAR: tuple(far)}
    ports += [f"{name}_master" for name in ("program", "load", "store", "weights*", "key_values*")]
    far += [f"{gemm}engine/{name}" for name in ("sequencer", "control*", "drain", "columns_*")]
    _divide(([f"cache{n}_master"] for n in range(channels)), MASTERS_ON_PORTS, ports, middle)
    _divide(([f"{gemm}weights_{n}"] for n in range(channels)), QUEUES_ON_MIDDLE, middle, far)
    names = [f"{gemm}engine/grid_{n}" for n in range(grids)]
    many = core.gemm.columns * core.gemm.weights.lanes > MANY_PRODUCTS
    beside = round(grids * GRIDS_ON_PORTS) if many else 0
    ports += names[:beside]
    _divide(([name] for name in names[beside:]), GRIDS_ON_MIDDLE, middle, far)
    gearboxes = ([f"{gemm}engine/gearbox_{n}"] for n in range(channels))
    _divide(gearboxes, GEARBOXES_BESIDE_GRIDS if many else GEARBOXES_ON_PORTS, ports, far)
    return {PORTS: tuple(ports), MIDDLE: tuple(middle), FAR: tuple(far)}


def _divide(groups: Iterable[list[str]], share: float, first: list[str], others: list[str]) -> None:
    """Put `share` of the groups of paths into `first`, and those that follow into `others`."""
    groups = list(groups)
    for n, paths in enumerate(groups):
        (first if n < round(share * len(groups)) else others).extend(paths)


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
