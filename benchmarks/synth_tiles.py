"""An engine's array as the sum of its distinct parts, each synthesised once."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from amaranth import Module, Shape, Signal
from amaranth.lib.wiring import In, Out
from pydantic import ValidationError

from benchmarks.synth_parts import make_config, synthesise_parts
from einloom.fpga.recipes import Recipe
from einloom.fpga.resources import Resources
from einloom.generators.registry import pe_spec
from einloom.hw.arith.trits import TritDecoder
from einloom.hw.part import Part


class EdgeRegister(Part):
    """Register at the edge of a row.

    Members
    -------
    value : In(bits)
    registered : Out(bits), a cycle later
    """

    def __init__(self, bits: int):
        super().__init__({"value": In(bits), "registered": Out(bits)})

    def elaborate(self, platform):  # noqa: ARG002 (Amaranth calls it so)
        m = Module()
        register = Signal(self.bits, reset_less=True)
        m.d.sync += register.eq(self.value)
        m.d.comb += self.registered.eq(register)
        return m


@dataclass(frozen=True)
class Tile:
    """Rows and columns of PEs, with the tops of the columns and the parts at the rows' edges.

    Attributes
    ----------
    macs : multiply-accumulates of a PE per cycle.
    pe, column : a PE, and the top of a column.
    row : part that makes a row's tables; None for engines without.
    edge : register of a row.
    decoder, decoders : decoder of ternary codes on their way to the columns, and the number of them.
    """

    rows: int
    columns: int
    macs: float
    pe: Part
    column: Part
    row: Part | None
    edge: Part
    decoder: Part | None
    decoders: int

    def __post_init__(self) -> None:
        for part, _ in self.parts:
            part._MustUse__used = True  # a pattern, as in Replicated; only one of each identity is placed

    @classmethod
    def of(cls, rows: int, columns: int, **engine: object) -> "Tile":
        """The tile of an engine of one weight format; pydantic's ValidationError where there is no such engine."""
        config = make_config({**engine, "rows": 1, "columns": 1})
        spec = pe_spec(config)
        [format] = config.gemm.weight_formats
        return cls(
            rows=rows,
            columns=columns,
            macs=spec.lanes / len(spec.shifts(format)),
            pe=spec.part(),
            column=spec.column((format,)),
            row=spec.row(),
            edge=EdgeRegister(spec.lanes * spec.activation_bits),
            decoder=TritDecoder() if format.in_trits else None,
            decoders=format.stream_bits(columns * spec.lanes) // 8 if format.in_trits else 0,
        )

    @property
    def parts(self) -> list[tuple[Part, int]]:
        """Each distinct part and how often it stands in the tile."""
        found = [
            (self.pe, self.rows * self.columns),
            (self.column, self.columns),
            (self.edge, self.rows),
            (self.row, self.rows),
            (self.decoder, self.decoders),
        ]
        return [(part, count) for part, count in found if part is not None]

    @property
    def all_macs(self) -> float:
        return self.rows * self.columns * self.macs

    def fused(self) -> "Tile":
        """The tile when the operator before it makes the tables: rows register tables, not activations."""
        assert self.row is not None
        tables = Shape.cast(self.row.signature.members["shared"].shape).width
        return replace(self, row=None, edge=EdgeRegister(tables))


def tile_if_any(rows: int, columns: int, **engine: object) -> Tile | None:
    """The tile, unless the config's rules forbid it."""
    try:
        return Tile.of(rows, columns, **engine)
    except ValidationError:
        return None


class Measured:
    """Resources of parts, and of tiles of them, by one recipe."""

    def __init__(self, tiles: Iterable[Tile | None], recipe: Recipe, others: Iterable[Part] = ()):
        self.recipe = recipe
        parts = {part.identity: part for part in others}
        parts |= {part.identity: part for tile in tiles if tile is not None for part, _ in tile.parts}
        made = synthesise_parts(list(parts.values()), recipe)
        self._made = dict(zip(parts, made, strict=True))

    def part(self, part: Part) -> Resources:
        return self._made[part.identity].total

    def levels(self, part: Part) -> int:
        return self._made[part.identity].levels

    def tile(self, tile: Tile) -> Resources:
        return sum((self.part(part) * count for part, count in tile.parts), Resources())

    def generators(self, tile: Tile) -> Resources:
        """All the tile's table generators."""
        return Resources() if tile.row is None else self.part(tile.row) * tile.rows

    def amount(self, resources: Resources) -> float:
        """Square micrometres of a cell library, LUTs of an FPGA."""
        return resources.area_um2 if self.recipe.cells else resources.lut
