"""What the engine `sparse_dsp` takes of an FPGA, and its cycles in RTL.

python -m benchmarks.dsp_array [--resources [DESIGN ...]] [--card] [--cycles [OUTPUTS]] [--prefill [OUTPUTS]]

--resources: arrays for one token on one weight channel, and for two, all parts counted; --card: arrays that take all
that the memory of a U280 brings at 300 MHz, beside `bitmod`, and one of 4,096 DSPs for prefill; --cycles: products of
4096 inputs, one token and 256, dense, N of M and mixed, measured; --prefill: 256 tokens on 4,096 DSPs, dense.
"""

import argparse
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.dsp_cycles import DECODE, INPUTS, LARGE, PREFILL, TOKENS, cycles, large
from einloom.fpga.boards import BOARDS
from einloom.fpga.recipes import ultrascale
from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import Synthesis, synthesise
from einloom.generators.registry import generate
from einloom.sim.strategies import make_config
from einloom.spec.config import Config
from einloom.spec.engines.sparse_dsp import SparseDspConfig

DECODE_DESIGNS: dict[str, dict[str, object]] = {
    **{name: {"formats": [name]} for name in ("bitmod-fp4", "bitmod-fp3", "int4", "ternary", "int8")},
    **{f"{name}, scales in DSPs": {"formats": [name], "scaling": "dsp"} for name in ("bitmod-fp4", "int4", "int8")},
    "int2": {"formats": ["int2"]},
    **{
        f"{name}, three weights{', scales in DSPs' if scaling == 'dsp' else ''}": {
            "formats": [name],
            "packing": "three_weights",
            "scaling": scaling,
        }
        for name in ("int2", "ternary", "int3", "int4")
        for scaling in ("serial", "dsp")
    },
    **{name: {"formats": [name]} for name in ("bitmod-fp4-2of4", "int4-2of4", "int2-2of4", "int4-nof4", "int4-nof16")},
}
TOKEN_DESIGNS: dict[str, dict[str, object]] = {
    **{
        f"{name}, two tokens": {"formats": [name]} for name in ("bitmod-fp4", "int4", "int8", "int4-2of4", "int4-nof16")
    },
    "int4, two tokens, scales in DSPs": {"formats": ["int4"], "scaling": "dsp"},
}
"""Sections of designs for one token, two weights a DSP or three, and for two tokens."""
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
    table = resource_table("one channel of 512 bits; MACs of full steps, without zeros that are skipped")
    for name in names:
        tokens = name in TOKEN_DESIGNS
        section = (TOKEN_DESIGNS if tokens else DECODE_DESIGNS)[name]
        size: dict[str, object] = {"rows": 2, "packing": "tokens"} if tokens else {"rows": 1}
        columns = columns_for({**size, **section})
        config = make_config({"kind": "sparse_dsp", "columns": columns, **size, **section}, beat_bits=512)
        add_row(table, f"{name}, {columns} columns", config)
    return table


def columns_for(section: dict[str, object]) -> int:
    """Columns whose longest step is about a beat of 512 bits."""
    engine = make_config({"kind": "sparse_dsp", "columns": 6, **section}).gemm
    assert isinstance(engine, SparseDspConfig)
    sets, lanes, together = engine.sets, engine.lanes, max(2, engine.columns_together)
    words = [f.step_bits(sets.words(f) if sets else lanes) for f in engine.weight_formats]
    return together * max(1, 512 // together // max(words))


def card() -> Table:
    table = resource_table(f"one token, all of the U280's memory at 300 MHz: one channel's array, {CHANNELS} times")
    for name, kind, size in (
        ("bitmod-fp4", "sparse_dsp", {"columns": 8}),
        ("bitmod-fp3", "sparse_dsp", {"columns": 12}),
        ("bitmod-fp4", "sparse_dsp", {"columns": 8, "scaling": "dsp"}),
        ("bitmod-fp4", "bitmod", {"columns": 64}),
    ):
        config = make_config({**engine(kind, [name]), **size}, beat_bits=512)
        add_row(table, f"{kind} {name}{', scales in DSPs' if 'scaling' in size else ''}", config, copies=CHANNELS)
    add_row(table, "sparse_dsp int4, for prefill, once", LARGE)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resources", nargs="*", choices=DECODE_DESIGNS | TOKEN_DESIGNS, metavar="DESIGN")
    parser.add_argument("--card", action="store_true")
    parser.add_argument("--cycles", type=int, nargs="?", const=INPUTS, metavar="OUTPUTS")
    parser.add_argument("--prefill", type=int, nargs="?", const=256, metavar="OUTPUTS")
    args = parser.parse_args()
    console = Console(width=200)
    if args.resources is not None:
        console.print(resources(args.resources or [*DECODE_DESIGNS, *TOKEN_DESIGNS]))
    if args.card:
        console.print(card())
    if args.cycles:
        console.print(cycles(DECODE, 1, args.cycles))
        console.print(cycles(PREFILL, TOKENS, args.cycles))
    if args.prefill:
        console.print(large(args.prefill))


if __name__ == "__main__":
    main()
