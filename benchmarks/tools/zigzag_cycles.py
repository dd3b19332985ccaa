"""Cycles of the layers through ZigZag's cost model: read by its own Python, not by einloom's.

`pip install zigzag-dse`. Layers come as JSON on standard input, and cycles go to standard output (other_tools.py).
ZigZag maps one loop nest at a time: a head's attention is its two products, without a softmax, `heads` times. Its
latency counts loading the array before a layer and emptying it behind, and stalls of the ports.
"""

import contextlib
import json
import logging
import os
import sys
import tempfile
import time
from importlib.metadata import version
from typing import Any

import yaml


def hardware(layers: dict[str, Any]) -> dict[str, Any]:
    """An output-stationary array with a register for each sum, a memory on the chip, and one outside."""

    def memory(bits: int, served: list[str], ports: list[dict[str, Any]], operands: list[str]) -> dict[str, Any]:
        """A memory of so many bits; its energies play no part."""
        costs = {"r_cost": 1, "w_cost": 1, "area": 0, "latency": 1, "auto_cost_extraction": False}
        return {"size": bits, **costs, "operands": operands, "ports": ports, "served_dimensions": served}

    def port(name: str, kind: str, bits: int, *allocation: str) -> dict[str, Any]:
        listed = {"bandwidth_min": min(bits, 8), "bandwidth_max": bits, "allocation": list(allocation)}
        return {"name": name, "type": kind, **listed}

    side, outside = layers["array"], 8 * layers["bytes_per_cycle"]
    register = [
        port("w_port_1", "write", 32, "O, fh"),
        port("w_port_2", "write", 32, "O, fl"),
        port("r_port_1", "read", 32, "O, tl"),
        port("r_port_2", "read", 32, "O, th"),
    ]
    chip = [
        port("r_port_1", "read", 8 * side, "I1, tl"),
        port("r_port_2", "read", 8 * side, "I2, tl"),
        port("rw_port_3", "read_write", 32 * side, "O, tl", "O, fl"),
        port("rw_port_4", "read_write", outside, "I1, fh", "I2, fh", "O, fh", "O, th"),
    ]
    both = ["I1, fh", "I1, tl", "I2, fh", "I2, tl", "O, fh", "O, tl", "O, fl", "O, th"]
    every = ["I1", "I2", "O"]
    return {
        "name": "array",
        "memories": {
            "register": memory(32, [], register, ["O"]),
            "chip": memory(8 * layers["chip_bytes"], ["D1", "D2"], chip, every),
            "outside": memory(10**11, ["D1", "D2"], [port("rw_port_1", "read_write", outside, *both)], every),
        },
        "operational_array": {
            "input_precision": [8, 8],
            "unit_energy": 1,
            "unit_area": 1,
            "dimensions": ["D1", "D2"],
            "sizes": [side, side],
        },
    }


def layer(tokens: int, inputs: int, outputs: int) -> list[dict[str, Any]]:
    """Y[m, n] += X[m, k] W[k, n]."""
    return [
        {
            "id": 0,
            "name": "product",
            "operator_type": "Gemm",
            "equation": "O[m][n]+=I[m][k]*W[k][n]",
            "loop_dims": ["M", "N", "K"],
            "loop_sizes": [tokens, outputs, inputs],
            "operand_precision": {"O": 32, "O_final": 8, "W": 8, "I": 8},
            "operand_source": {"I": 0, "W": 0},
        }
    ]


def cycles(folder: str, layers: dict[str, Any], tokens: int, inputs: int, outputs: int) -> float:
    """Of a product, on the best mapping that ZigZag finds."""
    from zigzag.api import get_hardware_performance_zigzag

    side = layers["array"]
    mapping = {
        "name": "default",
        "spatial_mapping": {"D1": [f"M, {side}"], "D2": [f"N, {side}"]},
        "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
    }
    parts = {"hardware": hardware(layers), "workload": layer(tokens, inputs, outputs), "mapping": [mapping]}
    files = {}
    for name, content in parts.items():
        files[name] = os.path.join(folder, f"{name}.yaml")
        with open(files[name], "w") as file:
            yaml.safe_dump(content, file, sort_keys=False)
    with contextlib.redirect_stdout(sys.stderr):
        _, latency, _ = get_hardware_performance_zigzag(
            files["workload"],
            files["hardware"],
            files["mapping"],
            opt="latency",
            dump_folder=os.path.join(folder, "out"),
            loma_show_progress_bar=False,
        )
    return float(latency)


def main() -> None:
    logging.disable(logging.INFO)  # ZigZag logs each layer
    layers = json.load(sys.stdin)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        gemm = layers["gemm"]
        found = cycles(folder, layers, gemm["tokens"], gemm["inputs"], gemm["outputs"])
        results.append({"layer": "gemm", "cycles": found, "seconds": time.perf_counter() - started})
        started = time.perf_counter()
        heads, tokens, size = (layers["attention"][name] for name in ("heads", "tokens", "size"))
        scores = cycles(folder, layers, tokens, size, tokens)
        values = cycles(folder, layers, tokens, tokens, size)
        found = heads * (scores + values)
        results.append({"layer": "attention", "cycles": found, "seconds": time.perf_counter() - started})
    json.dump({"version": version("zigzag-dse"), "results": results}, sys.stdout)


if __name__ == "__main__":
    main()
