"""Cost of multiplying by table look-up: per MAC on an FPGA, by what is kept of a table, against fp16, by tile shape.

python -m benchmarks.lut_synth [--library NAME FILE [FILE ...]] ... [--plot FILE.svg]

Tiles are rows x columns of PEs with their column tops and table generators, without sequencer and gearboxes; each
distinct part is synthesised by itself. A MAC is one multiply-accumulate per cycle. Nothing may become a DSP.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import get_args

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.fp16_mac import Fp16Mac
from benchmarks.lut_tiles import PLANES, Sweep, best_table, draw, shape_table
from benchmarks.synth_parts import add_library_option, read_libraries
from benchmarks.synth_tiles import Measured, Tile, tile_if_any
from einloom.fpga.recipes import Recipe, ultrascale
from einloom.fpga.resources import Resources
from einloom.spec.engines.lut import LutConfig

ROWS, COLUMNS = 2, 64
"""LUT Tensor Core's tile; with tables of four inputs, M2 N64 K4."""
FORMATS = ("bipolar1", "bipolar2", "bipolar4", "int2", "int4", "ternary")
GROUPS: tuple[str | int, ...] = ("channel", 128)
SIZES = tuple(product(GROUPS, (2, 4), (16, 32, 64)))
"""Group, inputs of a table, and inputs at once."""
BESIDE: dict[str, dict[str, object]] = {
    **{
        f"bitmod, {name}": {"kind": "bitmod", "lanes": 4, "formats": [name]}
        for name in ("int2", "bitmod-fp3", "int4", "bitmod-fp4", "int5")
    },
    "int_mac": {"kind": "int_mac", "lanes": 4},
}
ESTIMATE = "Estimated beforehand, for a look-up's multiplexers and adder: 8 LUTs per MAC for W1, 16 for W2."
FABRIC = "UltraScale+, LUT"
FP16_MAC = Fp16Mac()

ABLATION = (("full", 1.0), ("half", 1.317), ("remap", 1.351), ("remap, fused", 1.440))
"""Steps, and how much smaller than the first the published tensor core is (LUT Tensor Core, W-INT2 A-INT8)."""
PUBLISHED_DENSITY = 61.55 / 3.39
"""TFLOPs/mm2 of a dot product of four at 28 nm, W1 A-FP16 by look-up over fp16 multiply-accumulates."""


def look_up(format: str, group: str | int, inputs: int, lanes: int, **more: object) -> dict[str, object]:
    """The engine of a look-up tile."""
    size = {"formats": [format], "group": group, "table_inputs": inputs, "lanes": lanes}
    return {"kind": "lut", **size, **more}


def markdown_table(title: str, headings: Iterable[str], rows: Iterable[Iterable[str]], names: int = 1) -> Table:
    """A table whose first columns, so many as `names`, are words."""
    table = Table(title=title, box=box.MARKDOWN)
    for n, heading in enumerate(headings):
        table.add_column(heading, justify="left" if n < names else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def shares(resources: Resources, macs: float) -> str:
    return f"{resources.lut / macs:.1f} + {resources.ff / macs:.1f}"


# ---- 1: per MAC ------------------------------------------------------------------------------------------------------

Candidates = Mapping[tuple[str | int, int, int, str], Tile | None]


def candidates() -> Candidates:
    """Tiles by group, inputs of a table, inputs at once and format; none where a group's scale would not hide."""
    return {
        (*size, format): tile_if_any(ROWS, COLUMNS, **look_up(format, *size)) for size in SIZES for format in FORMATS
    }


def beside() -> dict[str, Tile]:
    return {name: Tile.of(ROWS, COLUMNS, **engine) for name, engine in BESIDE.items()}


def per_mac_table(tiles: Candidates, measured: Measured, *, whole: bool) -> Table:
    """LUT + FF per MAC of PEs alone or of whole tiles."""

    def cell(tile: Tile | None) -> str:
        if tile is None:
            return "-"
        return shares(measured.tile(tile), tile.all_macs) if whole else shares(measured.part(tile.pe), tile.macs)

    what = f"tile M{ROWS} N{COLUMNS}" if whole else "PE alone"
    rows = [[*map(str, size), *(cell(tiles[*size, format]) for format in FORMATS)] for size in SIZES]
    return markdown_table(
        f"lut, {what}: LUT + FF per MAC", ("group", "table inputs", "inputs at once", *FORMATS), rows, names=3
    )


def beside_table(tiles: Mapping[str, Tile], measured: Measured) -> Table:
    rows = [
        [
            name,
            shares(measured.part(tile.pe), tile.macs),
            shares(measured.tile(tile), tile.all_macs),
        ]
        for name, tile in tiles.items()
    ]
    return markdown_table("beside it: LUT + FF per MAC", ("engine", "PE alone", f"tile M{ROWS} N{COLUMNS}"), rows)


def summary(tiles: Iterable[Tile | None], measured: Measured) -> str:
    """DSPs and logic depth of what look-up tiles are made of."""
    parts = [part for tile in tiles if tile is not None for part, _ in tile.parts]
    depths: dict[str, int] = {}
    for part in parts:
        name = type(part).__name__
        depths[name] = max(depths.get(name, 0), measured.levels(part))
    levels = ", ".join(f"{name} {depth}" for name, depth in depths.items())
    return f"DSPs in all look-up parts: {sum(measured.part(p).dsp for p in parts)}. Deepest logic, levels: {levels}."


# ---- 2: what is kept of a table --------------------------------------------------------------------------------------


def ablation(lanes: int) -> dict[str, Tile]:
    """Tiles of tables of four inputs, W2, by the steps of ABLATION."""
    kept = {
        table: Tile.of(ROWS, COLUMNS, **look_up("bipolar2", "channel", 4, lanes, table=table))
        for table in ("full", "half", "remap")
    }
    return {**kept, "remap, fused": kept["remap"].fused()}


def ablation_table(lanes: int, tiles: Mapping[str, Tile], targets: Mapping[str, Measured]) -> Table:
    """Whole tiles, the table generators in them, and how much smaller than with full tables they are."""
    headings = ["table", "published"]
    for name in targets:
        headings += [name, "of it generators", "full / x"]
    rows = []
    for step, published in ABLATION:
        row = [step, f"{published:.3f}"]
        for measured in targets.values():
            full = measured.amount(measured.tile(tiles["full"]))
            area = measured.amount(measured.tile(tiles[step]))
            made = measured.amount(measured.generators(tiles[step]))
            row += [f"{area:,.0f}", f"{made:,.0f}", f"{full / area:.3f}"]
        rows.append(row)
    count = -(-lanes // 4)
    title = f"M{ROWS} N{COLUMNS}, bipolar2, int8 activations, {count} table{'s' if count > 1 else ''} of 4"
    return markdown_table(title, headings, rows)


# ---- 3: against fp16 -------------------------------------------------------------------------------------------------


def activation_kinds() -> list[dict[str, object]]:
    """Engine keys for each kind of activations that the look-up engine takes."""
    field = LutConfig.model_fields.get("activations")
    kinds = [] if field is None else get_args(field.annotation)
    return [{"activations": kind} for kind in kinds] or [{}]


def dense_tiles() -> dict[str, Tile]:
    """W1 tiles of tables of four that can be built, by their names in the table."""
    found = {
        f"W1, {more.get('activations', 'int8')} activations, {lanes} inputs at once": tile_if_any(
            ROWS, COLUMNS, **look_up("bipolar1", "channel", 4, lanes, **more)
        )
        for more, lanes in product(activation_kinds(), (4, 16, 64))
    }
    return {name: tile for name, tile in found.items() if tile is not None}


def density_table(tiles: Mapping[str, Tile], targets: Mapping[str, Measured]) -> Table:
    """Area of a MAC, and the number of MACs that fit in the area of a plain fp16 multiply-accumulate."""
    headings, mac = [""], ["plain fp16, fp16 sum"]
    yardsticks = {name: measured.amount(measured.part(FP16_MAC)) for name, measured in targets.items()}
    for name, area in yardsticks.items():
        headings += [f"{name}, per MAC", "fp16 / x"]
        mac += [f"{area:,.1f}", "1.0"]
    rows = [mac]
    for what, tile in tiles.items():
        for whole in (False, True):
            row = [f"{what}, {'tile' if whole else 'PE alone'}"]
            for name, measured in targets.items():
                resources = measured.tile(tile) if whole else measured.part(tile.pe)
                each = measured.amount(resources) / (tile.all_macs if whole else tile.macs)
                row += [f"{each:,.2f}", f"{yardsticks[name] / each:.1f}"]
            rows.append(row)
    return markdown_table("W1 by look-up against a plain fp16 multiply-accumulate", headings, rows)


# ---- all of it -------------------------------------------------------------------------------------------------------


def measure_targets(
    libraries: Mapping[str, Recipe], tiles: Sequence[Tile], fabric_tiles: Sequence[Tile | None]
) -> dict[str, Measured]:
    """The fabric first, which alone measures all tiles."""
    fabric = Measured([*fabric_tiles, *tiles], ultrascale(dsp=False), others=[FP16_MAC])
    return {FABRIC: fabric} | {name: Measured(tiles, recipe, others=[FP16_MAC]) for name, recipe in libraries.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_library_option(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the sweep over tiles (.svg, .png, .pdf)")
    args = parser.parse_args()
    by_size, others, dense = candidates(), beside(), dense_tiles()
    steps = {lanes: ablation(lanes) for lanes in (4, 16)}
    sweep = Sweep.make()
    compared = [*dense.values(), *(tile for tiles in steps.values() for tile in tiles.values())]
    on_fabric = [*by_size.values(), *others.values(), *sweep.tiles.values()]
    targets = measure_targets(read_libraries(args.library), compared, on_fabric)
    fabric = targets[FABRIC]

    console = Console(width=160)
    for whole in (False, True):
        console.print(per_mac_table(by_size, fabric, whole=whole))
    console.print(beside_table(others, fabric))
    console.print(summary(by_size.values(), fabric), ESTIMATE)
    for lanes, tiles in steps.items():
        console.print(ablation_table(lanes, tiles, targets))
    console.print(density_table(dense, targets))
    console.print(f"Published, W1 with fp16 activations at 28 nm: {PUBLISHED_DENSITY:.1f}.")
    for name in PLANES:
        console.print(shape_table(name, sweep, fabric))
    console.print(best_table(sweep, fabric))
    if args.plot:
        draw(sweep, fabric, args.plot)


if __name__ == "__main__":
    main()
