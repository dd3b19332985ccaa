"""Cycles of the layers through SCALE-Sim: read by its own Python, not by einloom's.

`pip install scalesim "numpy<2.4"`; the newest refuses what it does with arrays of one element. Layers come as JSON on
standard input, and cycles go to standard output (other_tools.py). SCALE-Sim walks a systolic array cycle by cycle, with
a double buffer for each operand, one product at a time: a head's attention is its two products, without a softmax,
`heads` times. A fold of the product fills the array and drains it before the next one begins.
"""

import contextlib
import csv
import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

DATAFLOWS = {"os": "output stationary", "ws": "weight stationary"}
CONFIG = """
[general]
run_name = run
[architecture_presets]
ArrayHeight = {array}
ArrayWidth = {array}
IfmapSramSzkB = {share}
FilterSramSzkB = {share}
OfmapSramSzkB = {share}
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Dataflow = {dataflow}
Bandwidth = {bandwidth}
ReadRequestBuffer = 64
WriteRequestBuffer = 64
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 1
IfmapSRAMBankNum = 1
IfmapSRAMBankPort = 1
FilterCustomLayout = False
FilterSRAMBankBandwidth = 1
FilterSRAMBankNum = 1
FilterSRAMBankPort = 1
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 1
RandomNumberGeneratorSeed = 1
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""
"""With CALC memory brings what the array asks for, and the bandwidth is a result."""


def cycles(layers: dict[str, Any], dataflow: str, tokens: int, inputs: int, outputs: int) -> float:
    """Of a product, behind the prefetch of its first operands."""
    from scalesim.scale_sim import scalesim

    settings = {"share": layers["chip_bytes"] // 1024 // 4, "bandwidth": layers["bytes_per_cycle"]}
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        folder = Path(name)
        files = {
            "config": CONFIG.format(array=layers["array"], dataflow=dataflow, **settings),
            "topology": f"Layer, M, N, K,\nproduct, {tokens}, {outputs}, {inputs},\n",
            "layout": f"Layer,\nproduct,{'1,' * 20}\n",
        }
        for kind, content in files.items():
            (folder / kind).write_text(content)
        paths = {kind: str(folder / kind) for kind in files}
        simulator = scalesim(save_disk_space=True, verbose=False, input_type_gemm=True, **paths)
        simulator.run_scale(top_path=name)
        (report,) = folder.rglob("COMPUTE_REPORT.csv")
        with report.open() as file:
            (row,) = csv.DictReader(file, skipinitialspace=True)
    return float(row["Total Cycles"])


def main() -> None:
    layers = json.load(sys.stdin)
    gemm, results = layers["gemm"], []
    heads, tokens, size = (layers["attention"][name] for name in ("heads", "tokens", "size"))
    products = {
        "gemm": [(1, gemm["tokens"], gemm["inputs"], gemm["outputs"])],
        "attention": [(heads, tokens, size, tokens), (heads, tokens, tokens, size)],
    }
    for dataflow, variant in DATAFLOWS.items():
        for layer, parts in products.items():
            started = time.perf_counter()
            found = sum(times * cycles(layers, dataflow, *shape) for times, *shape in parts)
            seconds = time.perf_counter() - started
            results.append({"layer": layer, "variant": variant, "cycles": found, "seconds": seconds})
    json.dump({"version": version("scalesim"), "results": results}, sys.stdout)


if __name__ == "__main__":
    main()
