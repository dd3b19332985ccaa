"""A tile measured as the sum of its parts is what the array takes."""

from dataclasses import replace

import pytest
from amaranth import Value

pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")

from benchmarks.synth_parts import make_config
from benchmarks.synth_tiles import Measured, Tile, tile_if_any
from einloom.fpga.recipes import ultrascale
from einloom.generators.emit import SharedModules
from einloom.generators.gemm import gemm_engine
from einloom.generators.registry import pe_spec
from einloom.hw.array.grid import pe_grid

ROWS, COLUMNS = 2, 3
ENGINE: dict[str, object] = {"kind": "lut", "lanes": 4, "table_inputs": 2, "formats": ["ternary"]}


def test_a_tile_has_the_parts_of_an_engine_as_often_as_the_engine() -> None:
    config = make_config({**ENGINE, "rows": ROWS, "columns": COLUMNS})
    shared = SharedModules()
    shared.emit(gemm_engine(config, pe_spec(config))[0], "engine")
    counts = shared._counts("engine")
    tile = Tile.of(ROWS, COLUMNS, **ENGINE)
    placed = [(part, count) for part, count in tile.parts if part is not tile.edge]
    assert len(placed) == 4
    for part, count in placed:
        assert counts[shared._module_of(part)] == count


def test_a_tile_takes_what_its_grid_takes() -> None:
    spec = pe_spec(make_config({**ENGINE, "rows": 1, "columns": 1}))
    grid = pe_grid(spec, ROWS, COLUMNS)
    tile = Tile.of(ROWS, COLUMNS, **ENGINE)
    measured = Measured([tile], ultrascale(dsp=False), others=[grid])
    others = measured.part(tile.column) * COLUMNS + measured.part(tile.decoder) * tile.decoders
    assert measured.tile(tile) == measured.part(grid) + others
    assert measured.generators(tile) == measured.part(tile.row) * ROWS


def test_a_fused_tile_registers_tables_instead_of_making_them() -> None:
    tile = Tile.of(ROWS, COLUMNS, **ENGINE)
    fused = tile.fused()
    assert fused.row is None
    assert replace(fused, row=tile.row, edge=tile.edge) == tile
    assert fused.edge.bits == len(Value.cast(tile.row.shared))


def test_a_tile_whose_group_scales_would_not_hide_is_none() -> None:
    assert tile_if_any(ROWS, COLUMNS, **{**ENGINE, "lanes": 64, "group": 32}) is None
    assert tile_if_any(ROWS, COLUMNS, **ENGINE) is not None
