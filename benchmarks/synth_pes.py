"""Cost of a multiply-accumulate per cycle in each PE: LUT, FF and DSP of an FPGA, and area of cell libraries.

python -m benchmarks.synth_pes [--library NAME FILE [FILE ...]] ...

Beside the PEs stand a plain int8 and a plain fp16 multiply-accumulate, synthesised by the same passes.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.fp16_mac import Fp16Mac
from benchmarks.synth_parts import add_library_option, make_config, read_libraries
from einloom.fpga.recipes import Recipe, ultrascale
from einloom.fpga.synthesise import Synthesis, synthesise
from einloom.generators.emit import SharedModules
from einloom.generators.registry import pe_spec
from einloom.hw.part import Part
from einloom.hw.pe.fusemax import FuseMaxPE
from einloom.spec.attention_format import AttentionFormat
from einloom.spec.formats import FORMATS

INT8_MAC = """module plain_int8(clk, clear, a, b, sum);
  input clk;
  input clear;
  input signed [7:0] a;
  input signed [7:0] b;
  output signed [31:0] sum;
  reg signed [7:0] x;
  reg signed [7:0] w;
  reg drop;
  reg signed [31:0] sum;
  always @(posedge clk) begin
    x <= a;
    w <= b;
    drop <= clear;
    sum <= (drop ? 32'sd0 : sum) + x * w;
  end
endmodule
"""
FP16 = "plain fp16, fp16 sum"
BITMOD_FORMATS = ("bitmod-fp3", "bitmod-fp4", "int5", "int6", "int8")
PUBLISHED = (1793.7, 1968.7)
"""BitMoD's PE and its fp16 multiply-accumulate, um2 at 28 nm with registers: the authors' repository."""


@dataclass(frozen=True)
class Unit:
    """Something that multiplies and accumulates.

    Attributes
    ----------
    macs : multiply-accumulates per cycle.
    """

    name: str
    macs: float
    verilog: str
    top: str


def emitted(name: str, part: Part, macs: float) -> Unit:
    return Unit(name, macs, SharedModules().emit(part, "unit"), "unit")


def units() -> Iterator[Unit]:
    """The yardsticks first."""
    yield Unit("plain int8, int32 sum", 1, INT8_MAC, "plain_int8")
    yield emitted(FP16, Fp16Mac(), 1)
    yield emitted("int_mac, 4 lanes", pe_spec(make_config({"kind": "int_mac", "lanes": 4})).part(), 4)
    for activations in ("int8", "fp16"):
        for name in BITMOD_FORMATS:
            engine = {"kind": "bitmod", "lanes": 4, "formats": [name], "activations": activations}
            macs = 4 / FORMATS[name].terms_per_weight
            yield emitted(f"bitmod {activations}, {name}", pe_spec(make_config(engine)).part(), macs)
    # One multiplier: a product of scores, or of values, in every cycle that is not for the exponential.
    yield emitted("fusemax, int8 keys", FuseMaxPE(AttentionFormat(8, 128, 65536)), 1)


def measure(unit: Unit, recipe: Recipe) -> Synthesis:
    return synthesise(unit.verilog, unit.top, recipe)


def fpga_table() -> Table:
    """LUT, FF and DSP of each PE, and of a multiply-accumulate per cycle in it."""
    fpga, no_dsp = ultrascale(), ultrascale(dsp=False)
    table = Table(title="UltraScale+: one PE, and what a multiply-accumulate per cycle takes", box=box.MARKDOWN)
    for heading in ("PE", "MACs/cycle", "LUT", "FF", "DSP", "levels", "LUT/MAC", "FF/MAC", "DSP/MAC", "LUT, no DSP"):
        table.add_column(heading, justify="left" if heading == "PE" else "right", no_wrap=True)
    for unit in units():
        result = measure(unit, fpga)
        counts = (result.total.lut, result.total.ff, result.total.dsp)
        shares = [f"{count / unit.macs:.1f}" for count in counts]
        without = measure(unit, no_dsp).total.lut
        table.add_row(unit.name, f"{unit.macs:.3g}", *map(str, counts), str(result.levels), *shares, str(without))
    return table


def cell_table(libraries: Mapping[str, Recipe]) -> Table:
    """Area of each PE in square micrometres, and of a multiply-accumulate per cycle in it, also over that of fp16."""
    table = Table(title="cells: one PE, and what a multiply-accumulate per cycle takes", box=box.MARKDOWN)
    table.add_column("PE", no_wrap=True)
    for name in libraries:
        for heading in (f"{name}, um2", "per MAC", "over fp16"):
            table.add_column(heading, justify="right", no_wrap=True)
    yardstick = {name: measure(next(u for u in units() if u.name == FP16), r).total for name, r in libraries.items()}
    for unit in units():
        row = []
        for name, recipe in libraries.items():
            area = measure(unit, recipe).total.area_um2
            each = area / unit.macs
            row += [f"{area:,.1f}", f"{each:,.1f}", f"{each / yardstick[name].area_um2:.2f}"]
        table.add_row(unit.name, *row)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_library_option(parser)
    args = parser.parse_args()
    libraries = read_libraries(args.library)
    console = Console(width=130)
    console.print(fpga_table())
    if libraries:
        console.print(cell_table(libraries))
    ours, fp16 = PUBLISHED
    console.print(
        f"Published for BitMoD at 28 nm: 4 MACs in 2 cycles for {ours} um2, {ours / fp16:.2f} of an fp16 MAC ({fp16} "
        f"um2), so {ours / 2 / fp16:.2f} of it per MAC and cycle; that PE takes fp16 activations."
    )


if __name__ == "__main__":
    main()
