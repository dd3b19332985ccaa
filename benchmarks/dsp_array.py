"""What the engine `sparse_dsp` takes of an FPGA, and its cycles in RTL.

python -m benchmarks.dsp_array [--resources [FORMAT ...]] [--card] [--cycles [OUTPUTS]]

--resources: arrays for one token on one weight channel, all parts counted; --card: arrays that take all that the memory
of a U280 brings at 300 MHz, beside `bitmod`; --cycles: products of 4096 inputs, measured.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from einloom.fpga.boards import BOARDS
from einloom.fpga.recipes import ultrascale
from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import Synthesis, synthesise
from einloom.generators.registry import generate
from einloom.mapping.cost.gemm import gemm_cycles
from einloom.sim.bench.cases import random_tensor
from einloom.sim.gemm_device import RtlDevice
from einloom.sim.strategies import make_config
from einloom.spec.config import Config
from einloom.spec.formats import FORMATS

INPUTS = 4096
FORMATS_SHOWN = ("bitmod-fp4", "bitmod-fp3", "int4", "ternary", "int8", "bitmod-fp4-2of4", "int4-2of4", "int2-2of4")
CHANNELS = 22
"""Weight channels of 512 bits: 11,264 bits a cycle, all that the memory of a U280 brings at 300 MHz."""


def engine(kind: str, formats: list[str], **size: int) -> dict[str, object]:
    return {"kind": kind, "formats": formats, "lanes": 16 if kind == "sparse_dsp" else 4, "rows": 1, **size}


def synthesised(config: Config) -> tuple[Synthesis, Resources, float]:
    """The design, what its gearboxes take, and its multiply-accumulates in a cycle."""
    design = generate(config)
    result = synthesise(design.verilog, design.manifest.top, ultrascale())
    gearboxes = sum((p.own * p.copies for p in result.parts if p.name.startswith("gearbox")), Resources())
    gemm = design.manifest.gemm
    return result, gearboxes, gemm.macs_per_step / max(step.cycles for step in gemm.weights.steps)


def add_row(table: Table, name: str, config: Config, copies: int = 1) -> None:
    """Resources of so many copies of a design."""
    result, gearboxes, macs = synthesised(config)
    total, array = result.total * copies, (result.total - gearboxes) * copies
    board = BOARDS["u280"]
    table.add_row(
        name,
        f"{macs * copies:,.0f}",
        f"{array.lut:,}",
        f"{total.lut:,}",
        f"{total.ff:,}",
        f"{total.dsp:,}",
        f"{array.lut / macs / copies:.1f}",
        f"{total.lut / macs / copies:.1f}",
        f"{total.dsp / macs / copies:.2f}",
        str(result.levels),
        f"{total.lut / board.has.lut:.1%}",
        f"{total.dsp / board.has.dsp:.1%}",
    )


def resource_table(title: str) -> Table:
    table = Table(title=title, box=box.MARKDOWN)
    headings = ("design", "MACs/cycle", "LUT", "with gearbox", "FF", "DSP", "LUT/MAC", "with gearbox", "DSP/MAC")
    for heading in (*headings, "levels", "LUTs of the card", "DSPs"):
        table.add_column(heading, justify="left" if heading == "design" else "right", no_wrap=True)
    return table


def resources(names: Sequence[str]) -> Table:
    table = resource_table("one token, one channel of 512 bits; a sparse format's MACs include those with zeros")
    for name in names:
        columns = 2 * int(256 // (16 * FORMATS[name].stored_bits))
        config = make_config(engine("sparse_dsp", [name], columns=columns), beat_bits=512)
        add_row(table, f"sparse_dsp {name}, {columns} columns", config)
    return table


def card() -> Table:
    table = resource_table("one token, all of the U280's memory at 300 MHz")
    for name, columns in (("bitmod-fp4", 8), ("bitmod-fp3", 10)):
        config = make_config(engine("sparse_dsp", [name], columns=columns * CHANNELS), channels=CHANNELS, beat_bits=512)
        add_row(table, f"sparse_dsp {name}", config)
    half = CHANNELS // 2
    config = make_config(engine("bitmod", ["bitmod-fp4"], columns=64 * half), channels=half, beat_bits=512)
    add_row(table, "bitmod bitmod-fp4, two of half the size", config, copies=2)
    return table


def cycles(outputs: int) -> Table:
    """Products of one token and of a full array, measured, over the cycles that their steps or their beats take."""
    table = Table(title=f"{INPUTS} inputs, {outputs} outputs, group 128", box=box.MARKDOWN)
    for heading in ("format", "tokens", "cycles", "cost model", "bound", "bound over cycles", "MACs over peak"):
        table.add_column(heading, justify="left" if heading == "format" else "right", no_wrap=True)
    for name, rows, columns in (("bitmod-fp4", 1, 8), ("bitmod-fp4", 8, 8), ("bitmod-fp4-2of4", 1, 16)):
        config = make_config(engine("sparse_dsp", [name], columns=columns) | {"rows": rows}, beat_bits=512)
        with closing(RtlDevice(config)) as device:
            gemm, rng = device.design.manifest.gemm, np.random.default_rng(0)
            format = FORMATS[name]
            tensor = random_tensor(rng, gemm, format, outputs, INPUTS)
            device.load({"w": tensor})
            device.linear("w", rng.integers(-128, 128, (rows, INPUTS), np.int8))
            took = device.counters.cycles
            step, layout = gemm.weights.step(format), gemm.weights
            tiles = -(-outputs // gemm.columns)
            bound = max(
                tiles * (INPUTS // layout.lanes) * step.cycles, layout.beats(step, INPUTS // layout.block, tiles)
            )
            model = gemm_cycles(gemm, format, tokens=rows, inputs=INPUTS, outputs=outputs)
            share = device.counters.macs / took / gemm.macs_per_step
            table.add_row(
                step.format, str(rows), f"{took:,}", f"{model:,}", f"{bound:,}", f"{bound / took:.2%}", f"{share:.2%}"
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resources", nargs="*", choices=FORMATS, metavar="FORMAT")
    parser.add_argument("--card", action="store_true")
    parser.add_argument("--cycles", type=int, nargs="?", const=INPUTS, metavar="OUTPUTS")
    args = parser.parse_args()
    console = Console(width=200)
    if args.resources is not None:
        console.print(resources(args.resources or FORMATS_SHOWN))
    if args.card:
        console.print(card())
    if args.cycles:
        console.print(cycles(args.cycles))


if __name__ == "__main__":
    main()
