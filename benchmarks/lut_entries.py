"""Cost of rounding a table's entries to eight bits: accuracy lost, and LUTs of an FPGA spent and saved.

python -m benchmarks.lut_entries

Errors: root mean square over that of the sums, 1024 normally distributed activations (int8: of deviation 40; fp16: of
deviation 1), 2-bit weights, groups of 64. LUTs per multiply-accumulate and cycle, UltraScale+, one scale per channel,
M2 N64, no DSP.
"""

from itertools import product

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.synth_tiles import Measured, Tile
from einloom.fpga.recipes import ultrascale
from einloom.mapping.compress.quantize import quantize
from einloom.sim.golden.lut_fp16 import EXPONENT_BIAS, aligned_gemm, rounded_aligned_gemm
from einloom.sim.golden.lut_rounded import Rounding, rounded_gemm
from einloom.spec.formats import FORMATS
from einloom.spec.lookup import table_sizes
from einloom.spec.quantized import QuantizedTensor

ROWS, COLUMNS = 2, 64
WEIGHTS, GROUP, INPUTS = "bipolar2", 64, 1024
ENTRIES = {
    "exact": {},
    "int8, a scale per step": {"entries": "int8"},
    "int8, a scale per table": {"entries": "int8", "entry_scale": "table"},
}
SHAPES = tuple(product((16, 64), (2, 4)))
"""Inputs at once, and of a table."""


def layer() -> tuple[dict[str, np.ndarray], QuantizedTensor]:
    """Activations of each type [16, INPUTS], and weights."""
    rng = np.random.default_rng(6)
    normal = rng.normal(size=(16, INPUTS))
    weights = quantize(rng.normal(size=(64, INPUTS)).astype(np.float32), FORMATS[WEIGHTS], GROUP)
    int8 = np.clip(np.rint(40 * normal), -127, 127).astype(np.int8)
    return {"int8": int8, "fp16": normal.astype(np.float16)}, weights


def error(activations: np.ndarray, weights: QuantizedTensor, lanes: int, rounding: Rounding | None) -> float:
    """Root mean square of the error over that of the sums."""
    if activations.dtype == np.int8:
        if rounding is None:
            return 0.0
        found = rounded_gemm(activations, weights, rounding).astype(np.float64)
    else:
        value, exponent = (
            aligned_gemm(activations, weights, lanes)
            if rounding is None
            else rounded_aligned_gemm(activations, weights, rounding)
        )
        found = np.ldexp(1.0 * value, exponent - EXPONENT_BIAS)
    scaled = weights.values() * np.repeat(weights.scales.astype(np.float64), weights.group, axis=1)
    exact = activations.astype(np.float64) @ scaled.T
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))


def tile(kind: str, lanes: int, inputs: int, entries: dict[str, str]) -> Tile:
    engine = {"kind": "lut", "formats": [WEIGHTS], "group": "channel", "activations": kind}
    return Tile.of(ROWS, COLUMNS, **engine, lanes=lanes, table_inputs=inputs, **entries)


def main() -> None:
    activations, weights = layer()
    tiles = {
        (kind, *shape, name): tile(kind, *shape, entries)
        for kind, shape, (name, entries) in product(activations, SHAPES, ENTRIES.items())
    }
    measured = Measured(tiles.values(), ultrascale(dsp=False))
    table = Table(title=f"{WEIGHTS}, M{ROWS} N{COLUMNS}", box=box.MARKDOWN)
    for heading in ("activations", "inputs at once, of a table", "entries", "error", "PE", "tile", "levels"):
        table.add_column(heading, no_wrap=True)
    for (kind, lanes, inputs, name), made in tiles.items():
        keys = ENTRIES[name]
        rounding = Rounding(table_sizes(lanes, inputs), "entry_scale" in keys) if keys else None
        off = error(activations[kind], weights, lanes, rounding)
        pe = measured.part(made.pe).lut / made.macs
        whole = measured.tile(made).lut / made.all_macs
        levels = max(measured.levels(part) for part, _ in made.parts)
        table.add_row(kind, f"{lanes}, {inputs}", name, f"{off:.3%}", f"{pe:.1f}", f"{whole:.1f}", str(levels))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
