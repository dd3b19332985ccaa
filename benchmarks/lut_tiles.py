"""Shapes of look-up tiles that do the same work: M rows, N columns and K inputs at once, M * N * K = 512."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from rich import box
from rich.table import Table

from benchmarks.synth_tiles import Measured, Tile

WORK = 512
PLANES = {"W1": "bipolar1", "W2": "bipolar2"}
INPUTS_AT_ONCE = (1, 2, 4, 8, 16, 32, 64)
TABLE_INPUTS = (1, 2, 4)
PUBLISHED = (4, 4, 2)
"""The shape that LUT Tensor Core's sweep chose: inputs at once, inputs of a table, rows."""


@dataclass(frozen=True)
class Sweep:
    """Tiles by width of weights, inputs at once, inputs of a table, and rows."""

    tiles: dict[tuple[str, int, int, int], Tile]

    @classmethod
    def make(cls) -> "Sweep":
        return cls({
            (width, lanes, inputs, rows): Tile.of(
                rows,
                WORK // lanes // rows,
                kind="lut",
                lanes=lanes,
                table_inputs=inputs,
                group="channel",
                formats=[format],
            )
            for width, format in PLANES.items()
            for lanes in INPUTS_AT_ONCE
            for inputs in TABLE_INPUTS
            if inputs <= lanes
            for rows in rows_of(lanes)
        })


def cost(tile: Tile, measured: Measured) -> float:
    """LUTs per MAC."""
    return measured.tile(tile).lut / tile.all_macs


def rows_of(lanes: int) -> list[int]:
    return [1 << n for n in range((WORK // lanes).bit_length())]


def shape_table(width: str, sweep: Sweep, measured: Measured) -> Table:
    """LUTs per MAC, a column for each number of rows."""
    table = Table(title=f"{width}, M * N * K = {WORK}, tiles by M: LUTs per MAC", box=box.MARKDOWN)
    table.add_column("K")
    table.add_column("table inputs")
    most = rows_of(1)
    for rows in most:
        table.add_column(f"M{rows}", justify="right")
    for lanes in INPUTS_AT_ONCE:
        for inputs in TABLE_INPUTS:
            found = [sweep.tiles.get((width, lanes, inputs, rows)) for rows in most]
            cells = [f"{cost(t, measured):.1f}" if t else "" for t in found]
            if any(cells):
                table.add_row(str(lanes), str(inputs), *cells)
    return table


def best_table(sweep: Sweep, measured: Measured) -> Table:
    """Rows of the table: for each K the tile of fewest LUTs per MAC, cheapest first, and the published shape."""
    table = Table(title="fewest LUTs per MAC, a tile for each K", box=box.MARKDOWN)
    for heading in ("weights", "tile", "table inputs", "LUT/MAC", "FF/MAC"):
        table.add_column(heading, justify="right" if "/" in heading else "left")
    for width in PLANES:
        of_width = {key: tile for key, tile in sweep.tiles.items() if key[0] == width}
        costs = {key: cost(tile, measured) for key, tile in of_width.items()}
        best = [min((k for k in costs if k[1] == lanes), key=costs.__getitem__) for lanes in INPUTS_AT_ONCE]
        for key in [*sorted(best, key=costs.__getitem__), (width, *PUBLISHED)]:
            tile = of_width[key]
            name = f"M{tile.rows} N{tile.columns} K{key[1]}" + (" (published)" if key[1:] == PUBLISHED else "")
            flip_flops = measured.tile(tile).ff / tile.all_macs
            table.add_row(width, name, str(key[2]), f"{costs[key]:.1f}", f"{flip_flops:.1f}")
    return table


def draw(sweep: Sweep, measured: Measured, file: Path) -> None:
    """LUTs per MAC over M: a line for each K with tables of four where it has them, a dashed one with tables of two."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "einloom"  # the same drawing gives the same bytes
    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    panels = figure.subplots(1, len(PLANES), sharey=True)
    colours = mpl.colormaps["viridis"]
    for axes, width in zip(panels, PLANES, strict=True):
        for (n, lanes), inputs in product(enumerate(INPUTS_AT_ONCE), (2, 4)):
            if inputs == 2 and lanes < 4:
                continue  # the same tables
            costs = [cost(sweep.tiles[width, lanes, min(inputs, lanes), rows], measured) for rows in rows_of(lanes)]
            style, label = (".--", None) if inputs == 2 else (".-", f"K = {lanes}")
            axes.plot(rows_of(lanes), costs, style, color=colours(n / len(INPUTS_AT_ONCE)), label=label)
        chosen = cost(sweep.tiles[width, *PUBLISHED], measured)
        axes.plot([PUBLISHED[-1]], [chosen], "o", color="C3", markersize=10, fillstyle="none", label="M2 N64 K4")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(rows_of(1), [str(rows) for rows in rows_of(1)])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(visible=True, alpha=0.3)
        axes.set_title(f"{width}, int8 activations")
        axes.set_xlabel(f"M, rows of a tile with M * N * K = {WORK}")
    panels[0].set_ylabel("LUTs per MAC and cycle")
    panels[0].plot([], [], "k-", label="tables of 4")
    panels[0].plot([], [], "k--", label="tables of 2")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
