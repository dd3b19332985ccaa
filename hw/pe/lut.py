"""The processing element that multiplies by table look-up."""

from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed

from einloom.formats import SCALE_BITS, Format
from einloom.lookup import level_of, table_sizes
from einloom.manifest import LookupLayout
from hw.arith.named import named
from hw.arith.widths import signed_bits
from hw.part import Part
from hw.pe.dequantiser import add_dequantiser
from hw.pe.plane_column import PlaneColumn
from hw.pe.ports import add_drain, pe_ports
from hw.pe.table_generator import (
    ACTIVATION_BITS,
    LIMIT,
    TableGenerator,
    largest_exponent,
    tables_layout,
)
from hw.pe.timing import Timing


def stage_of(level: int) -> int:
    """The pipeline stage of a level of additions: look-ups and the first level share one, then two levels each."""
    return level // 2


@dataclass(frozen=True)
class LutSpec:
    """Size of a look-up PE for int8 activations, and the widths that follow.

    Parameters
    ----------
    lanes : activations multiplied at once.
    table_inputs : most lanes of a table.
    table : "full", "half" or "remap"; einloom/config.py says what that means.
    entries : "exact" or "int8".
    formats : weight formats, which have planes.
    group : inputs that share a scale; None when only output channels have one, which is left to the caller.
    max_inputs : longest dot product.
    """

    lanes: int
    table_inputs: int
    table: str
    entries: str
    formats: tuple[Format, ...]
    group: int | None
    max_inputs: int

    activation_bits = ACTIVATION_BITS
    exponent_bits = 0
    exponent_bias = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """Lanes of each table."""
        return table_sizes(self.lanes, self.table_inputs)

    @property
    def halved(self) -> bool:
        return self.table != "full"

    @property
    def rounded(self) -> bool:
        return self.entries == "int8"

    @property
    def zero(self) -> bool:
        """A format has a zero point."""
        return any(f.zero for f in self.formats)

    @property
    def fraction(self) -> int:
        """Bits below the integer in sums: planes count in halves, which some formats need and others don't."""
        return 0 if all(min(f.planes) > 0 and f.zero % 2 == 0 for f in self.formats) else 1

    def shifts(self, format: Format) -> tuple[int, ...]:
        return tuple(shift - 1 + self.fraction for shift in format.planes)

    @property
    def dot_stages(self) -> int:
        """Cycles from the tables to the sum of their values."""
        return stage_of(max((level_of(n) for n in range(1, len(self.sizes))), default=0)) + 1

    @property
    def has_last_stage(self) -> bool:
        """One more, for the zero point or the exponent."""
        return self.zero or self.rounded

    @property
    def row_cycles(self) -> int:
        """Of the table generator."""
        return 2 if self.rounded else 1

    @property
    def timing(self) -> Timing:
        accumulate = 1 + self.row_cycles + self.dot_stages + self.has_last_stage
        scale_bits = 0 if self.group is None else SCALE_BITS
        return Timing(accumulate=accumulate, capture=accumulate + 1, align=0, scale_bits=scale_bits)

    @property
    def lookup(self) -> LookupLayout:
        return LookupLayout(
            tables=self.sizes, remapped=self.table == "remap", entries="int8" if self.rounded else "exact"
        )

    @property
    def operand_delays(self) -> tuple[int, ...]:
        """Of each bit of the operand behind the column's own register; a sign is wanted when its value is added."""
        delays: list[int] = []
        for n, size in enumerate(self.sizes):
            delays += [0] * (size - 1)
            delays.append(0 if not self.halved else stage_of(level_of(n)) if n else self.sign_stage)
        if self.zero:
            delays.append(self.dot_stages)
        return tuple(self.row_cycles + delay for delay in delays)

    @property
    def sign_stage(self) -> int:
        """In which the sign of the whole sum is applied: with the zero point, else when it is accumulated."""
        return self.dot_stages + (self.has_last_stage and not self.zero)

    @property
    def operand_bits(self) -> int:
        return len(self.operand_delays)

    @property
    def group_bits(self) -> int:
        """Of a group's sum, or, without group scales, of the whole dot product, with its fraction.

        Sums of some but not all planes may wrap; modulo 2^n the complete one is exact. Rounding makes an entry larger
        by half a unit of its exponent at most.
        """
        inputs = self.max_inputs if self.group is None else self.group
        weight = max(f.max_magnitude for f in self.formats)
        limit = inputs * LIMIT * weight
        if self.rounded:
            half_unit = (1 << largest_exponent(max(self.sizes))) // 2
            tables = inputs // self.lanes * len(self.sizes)
            limit += tables * half_unit * max(sum(1 << s for s in f.planes) for f in self.formats) // 2
        return signed_bits(limit) + self.fraction

    @property
    def value_bits(self) -> int:
        """Of a whole dot product with its group scales."""
        whole = self.group_bits - self.fraction
        if self.group is None:
            return whole
        groups = self.max_inputs // self.group
        return signed_bits((1 << (whole - 1)) * groups * ((1 << SCALE_BITS) - 1))

    @property
    def sum_bits(self) -> int:
        return self.value_bits

    def part(self) -> "LutPE":
        return LutPE(self)

    def column(self, formats: tuple[Format, ...]) -> PlaneColumn:
        return PlaneColumn(
            formats, self.sizes, self.halved, self.table == "remap", self.operand_delays, self.group is not None
        )

    def row(self) -> TableGenerator:
        return TableGenerator(self.sizes, self.halved, self.rounded, self.zero, self.dot_stages)


class LutPE(Part):
    """Output-stationary multiply-accumulate by table look-up, one plane of weights a cycle; no multipliers.

        dot   = sum over the step's tables j of sign[j] * table_j[index[j]] * 2^exponent
        sum   = sum over steps and planes of (dot + offset in the plane of the zero point) * 2^shift
                = sum over the weights k of activation[k] * value[k], and * scale, with group scales

    Throughput: `lanes` weights every `planes` cycles. Latency: `Timing`. With exact entries everything is exact.
    Source: LUT Tensor Core (ISCA 2025), sections III-A to III-C; signs relative to the left neighbour are ours
    (einloom/lookup.py).

    Members
    -------
    activations : In, the row's tables (TableGenerator.shared)
    operand : In, a bit per lane (PlaneColumn.operand), each in the cycle of its pipeline stage
    control : In(CONTROL)
    scale_bit : In(1), with group scales
    drain_in, drain_out : the result register's shift chain
    """

    def __init__(self, spec: LutSpec):
        self.spec = spec
        layout = tables_layout(spec.sizes, spec.halved, spec.rounded, spec.zero)
        super().__init__(pe_ports(spec, layout, spec.operand_bits), spec=spec)

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        # Of every table, the position of its last lane: its sign's.
        self._lasts = [sum(spec.sizes[: n + 1]) - 1 for n in range(len(spec.sizes))]
        dot = self._add(m, [named(m, f"value_{n}", self._look_up(n)) for n in range(len(spec.sizes))])
        minus = self.operand[self._lasts[0]] if spec.halved else None
        if spec.zero:
            offset = Mux(self.operand[spec.lanes], self.activations.offset, 0)
            dot, minus = _registered(m, "with_zero", _combined(m, "shifted_dot", offset, dot, minus)), None
        elif spec.rounded:
            dot = _registered(m, "scaled", dot << self.activations.exponent)
        group_sum = self._accumulate(m, dot, minus)
        whole = group_sum[spec.fraction :].as_signed()
        add_drain(m, self, whole if spec.group is None else add_dequantiser(m, self, whole))
        return m

    def _look_up(self, n):
        """The value of table `n`, without its sign if tables are halved."""
        table, last = self.activations[f"table_{n}"], self._lasts[n]
        first = last + 1 - self.spec.sizes[n]
        index = self.operand[first : last if self.spec.halved else last + 1]
        entries = [table.entries[i] for i in range(table.entries.shape().length)]
        entry = Array(entries)[index] if len(entries) > 1 else entries[0]
        return Cat(table.parity, entry).as_signed() if not self.spec.rounded else entry

    def _add(self, m, values):
        """The pairwise sum of the tables' values, relative to the sign of table 0, registered after each stage."""
        tables, level = list(range(len(values))), 0
        while len(values) > 1:
            level += 1
            sums = []
            for left, right, n in zip(values[::2], values[1::2], tables[1::2], strict=False):
                minus = self.operand[self._lasts[n]] if self.spec.halved else None
                sums.append(_combined(m, f"sum_{level}_{n}", left, right, minus))
            values, tables = sums + values[2 * len(sums) :], tables[::2]
            if stage_of(level + 1) != stage_of(level) and len(values) > 1:
                values = [_registered(m, f"level_{level}_{n}", v) for n, v in enumerate(values)]
        return _registered(m, "dot", values[0])

    def _accumulate(self, m, dot, minus):
        """The register that adds up dot * 2^bsig, or its negative."""
        spec, control = self.spec, self.control
        shifts = sorted({shift for f in spec.formats for shift in spec.shifts(f)})
        moved = Signal(signed(len(dot) + shifts[-1]))
        with m.Switch(control.bsig):
            for shift in shifts[:-1]:
                with m.Case(shift):
                    m.d.comb += moved.eq(dot << shift)
            with m.Default():
                m.d.comb += moved.eq(dot << shifts[-1])
        total = Signal(signed(spec.group_bits), reset_less=True)
        with m.If(control.accumulate):
            m.d.sync += total.eq(_combined(m, "next_total", Mux(control.first, 0, total), moved, minus))
        return total


def _combined(m, name, left, right, minus):
    """left + right, or left - right where `minus`: one adder, whose carry comes from a bit below the lowest."""
    if minus is None:
        value = left + right
    else:
        value = (Cat(Const(1, 1), left).as_signed() + Cat(minus, Mux(minus, ~right, right)).as_signed())[1:].as_signed()
    return named(m, name, value)


def _registered(m, name, value):
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register
