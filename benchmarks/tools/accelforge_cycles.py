"""Cycles of the layers through AccelForge's mapper: read by its own Python (3.12 or newer), not by einloom's.

`pip install accelforge`. Layers come as JSON on standard input, and cycles go to standard output (other_tools.py).
A layer is a cascade of Einsums that may be fused. A compute unit takes an action a cycle, and each memory has a
throughput; latency is that of the busiest of them per Einsum, and pipelines fill and drain at no cost. A softmax is one
action for each score, on a row as wide as the array.
"""

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from typing import Any

import yaml


class Memory(dict[str, Any]):
    """A node of the architecture with the tag `!Memory`."""


class Container(dict[str, Any]):
    """... with the tag `!Container`."""


class Compute(dict[str, Any]):
    """... with the tag `!Compute`."""


for _node in (Memory, Container, Compute):
    yaml.SafeDumper.add_representer(
        _node, lambda dumper, data: dumper.represent_mapping(f"!{type(data).__name__}", dict(data))
    )


def actions(names: tuple[str, ...], throughput: float | str) -> list[dict[str, Any]]:
    """Actions of so many bits, or operations, a cycle; energies play no part."""
    return [{"name": name, "energy": 1, "throughput": throughput} for name in names]


def architecture(layers: dict[str, Any]) -> dict[str, Any]:
    """Memory outside, a buffer, a row for what has one operand, and an array for products."""
    side, free = layers["array"], {"leak_power": 0, "area": 0}
    accesses = ("read", "write")
    nodes = [
        Memory(
            name="Outside",
            size="inf",
            **free,
            tensors={"keep": "~Intermediates", "may_keep": "All"},
            actions=actions(accesses, 8 * layers["bytes_per_cycle"]),
        ),
        Memory(
            name="Chip",
            size=8 * layers["chip_bytes"],
            **free,
            tensors={"keep": "~Outside", "may_keep": "All"},
            actions=actions(accesses, "inf"),
        ),
        Compute(name="Row", **free, actions=actions(("compute",), side), enabled="len(All) == 2"),
        Container(name="Array", spatial=[{"name": name, "fanout": side} for name in ("X", "Y")]),
        Compute(name="MAC", **free, actions=actions(("compute",), 1), enabled="len(All) == 3"),
    ]
    return {"arch": {"nodes": nodes}}


def workloads(layers: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The Einsums of each layer."""
    gemm, attention = layers["gemm"], layers["attention"]
    tokens = attention["tokens"]
    return {
        "gemm": {
            "rank_sizes": {"M": gemm["tokens"], "K": gemm["inputs"], "N": gemm["outputs"]},
            "bits_per_value": {"All": 8},
            "einsums": ["Y[m, n] = X[m, k] * W[k, n]"],
        },
        "attention": {
            "rank_sizes": {"H": attention["heads"], "M": tokens, "P": tokens, "E": attention["size"]},
            "bits_per_value": {"All": 8},
            "einsums": [
                "QK[h, m, p] = Q[h, m, e] * K[h, p, e]",
                "S[h, m, p] = QK[h, m, p]",
                "AV[h, m, e] = S[h, m, p] * V[h, p, e]",
            ],
        },
    }


def cycles(layers: dict[str, Any], workload: dict[str, Any]) -> float:
    """Of a workload, on the fastest mapping that the mapper finds."""
    from accelforge import Metrics, Spec
    from accelforge.mapper.FFM.main import map_workload_to_arch

    for name, content in (("arch", architecture(layers)), ("workload", {"workload": workload})):
        with open(f"{name}.yaml", "w") as file:
            yaml.safe_dump(content, file, sort_keys=False)
    spec = Spec.from_yaml("arch.yaml", "workload.yaml")
    spec.mapper.metrics = Metrics.LATENCY
    # Its detailed evaluation draws each mapping, for which it needs Graphviz.
    found = map_workload_to_arch(spec, eval_in_detail=False, print_progress=False)
    return float(min(found.data["Total<SEP>latency"]))


def main() -> None:
    layers = json.load(sys.stdin)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, workload in workloads(layers).items():
            started = time.perf_counter()
            found = cycles(layers, workload)
            results.append({"layer": name, "cycles": found, "seconds": time.perf_counter() - started})
    json.dump({"version": version("accelforge"), "results": results}, sys.stdout)


if __name__ == "__main__":
    main()
