"""Normalised squared error of the quantizers on the 37 linear layers of all-MiniLM-L6-v2.

    python -m benchmarks.quantize_minilm MODEL

MODEL is model.safetensors of sentence-transformers/all-MiniLM-L6-v2, or the folder with it. The error is
sum((w - dequantized w)^2) / sum(w^2) over all 10.76 million weights, with groups of 128. The bars are what BitMoD's
released quantizer reaches on these weights (HPCA 2025; its scales stay floats, ours are 8-bit), and 26 scales per group
on top of it. The exit code is 1 if a bar is missed.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from einloom.mapping.compress.fidelity import Fidelity, measure, total
from einloom.mapping.compress.quantize import quantize
from einloom.models.importer.linear_layers import linear_layers
from einloom.models.importer.model_weights import open_model
from einloom.spec.formats import FORMATS

GROUP = 128
CASES = (  # format, scale search, largest error that is good enough
    ("bitmod-fp4", False, 9.91e-3),
    ("bitmod-fp4", True, 8.95e-3),
    ("int4", False, None),
    ("int4", True, None),
    ("bitmod-fp3", False, 4.05e-2),
    ("bitmod-fp3", True, 3.55e-2),
    ("int3", False, None),
    ("int3", True, None),
)


def main() -> int:
    """Print the table; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    model = open_model(parser.parse_args().model)
    layers = {name: model.read_float32(name) for name in linear_layers(model)}
    table = Table("format", "scale search", "bits/weight", "NMSE", "bar", "seconds", title=f"{len(layers)} layers")
    missed = 0
    for name, scale_search, bar in CASES:
        start = perf_counter()
        whole = compress(layers, name, scale_search)
        seconds = perf_counter() - start
        missed += bar is not None and whole.nmse > bar
        figures = (f"{whole.bits_per_weight:.4f}", f"{whole.nmse:.4e}", "" if bar is None else f"{bar:.2e}")
        table.add_row(name, "yes" if scale_search else "no", *figures, f"{seconds:.1f}")
    Console().print(table)
    return int(missed > 0)


def compress(layers: Mapping[str, npt.NDArray[np.float32]], name: str, scale_search: bool) -> Fidelity:
    """The fidelity of all layers together in the format called `name`."""
    format = FORMATS[name]
    return total(measure(n, w, quantize(w, format, GROUP, scale_search=scale_search)) for n, w in layers.items())


if __name__ == "__main__":
    raise SystemExit(main())
