"""The processing element that multiplies by table look-up."""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data

from einloom.formats import SCALE_BITS, Format
from einloom.lookup import table_sizes
from einloom.manifest import LookupLayout
from hw.arith.named import named
from hw.arith.widths import signed_bits
from hw.part import Part
from hw.pe.dequantiser import add_dequantiser
from hw.pe.plane_column import PlaneColumn
from hw.pe.ports import add_drain, pe_ports
from hw.pe.rounded_tables import ENTRY_LIMIT, ROUND_CYCLES, RoundedTables, largest_exponent, rounded_layout
from hw.pe.table_generator import LIMIT, TableDelay, TableGenerator, tables_layout
from hw.pe.timing import Timing

ADDED_AT_ONCE = 4
"""Tables whose values are added in one cycle. A LUT of six inputs adds a bit of a sum to the half of a table that a bit
of the index chooses, so that four tables are four or five LUTs in a row."""
SHIFTED_AT_ONCE = 2
"""Of tables with an exponent each: choosing and shifting an entry takes LUTs of its own in front of the adder."""


@dataclass(frozen=True)
class LutSpec:
    """Size of a look-up PE for int8 activations, and the widths that follow.

    Parameters
    ----------
    lanes : activations multiplied at once.
    table_inputs : most lanes of a table.
    table : "full", "half" or "remap"; einloom/config_engines.py says what that means.
    entries : "exact" or "int8".
    entry_scale : "step" or "table", what shares an exponent of int8 entries.
    formats : weight formats, which have planes.
    group : inputs that share a scale; None when only output channels have one, which is left to the caller.
    max_inputs : longest dot product.
    prepared : the tables are made before activations are stored, not in the rows.
    """

    lanes: int
    table_inputs: int
    table: str
    entries: str
    entry_scale: str
    formats: tuple[Format, ...]
    group: int | None
    max_inputs: int
    prepared: bool = False

    activation_bits = 8
    limit = LIMIT  # of what tables are made of: -limit .. limit - 1
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
    def per_table(self) -> bool:
        """Each table's values have a unit of their own."""
        return self.rounded and self.entry_scale == "table"

    @property
    def scales_sums(self) -> bool:
        """The sum of a step's values is brought into the unit of activations, in a stage of its own."""
        return self.rounded and not self.per_table

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

    def stage_of(self, table: int) -> int:
        """The pipeline stage in which a table's value is added."""
        return table // (SHIFTED_AT_ONCE if self.per_table else ADDED_AT_ONCE)

    @property
    def dot_stages(self) -> int:
        """Cycles from the tables to the sum of their values."""
        return self.stage_of(len(self.sizes) - 1) + 1

    @property
    def row_cycles(self) -> int:
        """From a row's register to the tables."""
        if self.prepared:
            return 0
        return self.table_cycles

    @property
    def table_cycles(self) -> int:
        """From activations of some bits to their tables."""
        return 1 + (ROUND_CYCLES if self.rounded else 0)

    @property
    def timing(self) -> Timing:
        accumulate = 1 + self.row_cycles + self.dot_stages + self.scales_sums
        scale_bits = 0 if self.group is None else SCALE_BITS
        return Timing(accumulate=accumulate, capture=accumulate + 1, align=0, scale_bits=scale_bits)

    @property
    def lookup(self) -> LookupLayout:
        return LookupLayout(
            tables=self.sizes,
            remapped=self.table == "remap",
            entries="int8" if self.rounded else "exact",
            entry_scale="table" if self.per_table else "step",
            precompute="fused" if self.prepared else "row",
        )

    @property
    def operand_delays(self) -> tuple[int, ...]:
        """Of each bit of the operand (PlaneColumn.operand) behind the column's own register."""
        delays = [self.stage_of(n) for n, size in enumerate(self.sizes) for _ in range(size)]
        if self.zero:
            delays.append(0)
        elif self.halved:
            delays.append(self.dot_stages)
        return tuple(self.row_cycles + delay for delay in delays)

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
        limit = inputs * self.limit * weight
        if self.rounded:
            half_units = sum(self._half_unit(size) for size in self.sizes)
            doubled_planes = max(sum(1 << s for s in f.planes) for f in self.formats)
            limit += inputs // self.lanes * half_units * doubled_planes // 2
        return signed_bits(limit) + self.fraction

    def _half_unit(self, size: int) -> int:
        """Most by which rounding makes a value of a table of `size` lanes larger."""
        shared_by = size if self.per_table else max(self.sizes)
        return (1 << largest_exponent(shared_by, self.limit)) // 2

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
        return self.value_bits + self.exponent_bits

    @property
    def shared(self) -> data.StructLayout:
        """What a row hands to its PEs."""
        return self.tables

    @property
    def tables(self) -> data.StructLayout:
        """A step's tables."""
        if self.rounded:
            return rounded_layout(self.sizes, self.halved, self.limit, self.per_table)
        return tables_layout(self.sizes, self.halved, self.zero, self.limit)

    def part(self) -> "LutPE":
        return LutPE(self)

    def column(self, formats: tuple[Format, ...]) -> PlaneColumn:
        # A group lasts at least as many cycles as its scale has bits, and for as long its column keeps that.
        delay = None if self.group is None else max(0, self.timing.capture - SCALE_BITS)
        return PlaneColumn(formats, self.sizes, self.halved, self.table == "remap", self.operand_delays, delay)

    @property
    def table_delays(self) -> tuple[int, ...]:
        """Of each table behind the first one."""
        return tuple(self.stage_of(n) for n in range(len(self.sizes)))

    def row(self) -> Part:
        return TableDelay(self.shared, self.table_delays) if self.prepared else self.generator(self.table_delays)

    def prepare(self) -> Part | None:
        return self.generator((0,) * len(self.sizes)) if self.prepared else None

    def generator(self, delays: tuple[int, ...]) -> Part:
        """What makes `tables`, each table some cycles later."""
        if self.rounded:
            return RoundedTables(self.sizes, self.halved, self.limit, self.per_table, (*delays, self.dot_stages))
        return TableGenerator(self.sizes, self.halved, self.zero, self.limit, delays)

    def partial_bits(self, table: int) -> int:
        """Of the sum of the values of tables 0 to `table`, less one where table 0 is negated without a zero point."""
        if self.scales_sums:
            return signed_bits((ENTRY_LIMIT + 1) * (table + 1) - 1)
        if self.per_table:
            sizes = self.sizes[: table + 1]
            return signed_bits(sum(self.limit * size + self._half_unit(size) for size in sizes))
        limit = self.limit * sum(self.sizes[: table + 1])
        if self.zero:
            return signed_bits(limit + self.limit * self.lanes)
        return signed_bits(limit - self.halved)


class LutPE(Part):
    """Output-stationary multiply-accumulate by table look-up, one plane of weights a cycle; no multipliers.

        dot   = sum over the step's tables j of sign[j] * table_j[index[j]] * 2^exponent[j]
        sum   = sum over steps and planes of (dot + offset in the plane of the zero point) * 2^shift
                = sum over the weights k of activation[k] * value[k], and * scale, with group scales

    The tables' values are added one after the other, so that every adder has a sum on its left, and on its right what
    the LUT of the adder itself chooses from a table, and negates. Negation is complement and carry: that of table 0,
    which has no adder, is carried into the accumulator, below a shifted sum whose new low bits are ones.

    Throughput: `lanes` weights every `planes` cycles. Latency: `Timing`. With exact entries everything is exact.
    Source: LUT Tensor Core (ISCA 2025), sections III-A to III-C; the adders are ours.

    Members
    -------
    activations : In, the row's tables (LutSpec.shared)
    operand : In, PlaneColumn.operand, each bit in the cycle of its pipeline stage
    control : In(CONTROL)
    scale_bit : In(1), with group scales
    drain_in, drain_out : the result register's shift chain
    """

    def __init__(self, spec: LutSpec):
        self.spec = spec
        super().__init__(pe_ports(spec, spec.shared, spec.operand_bits), spec=spec)

    @property
    def tables(self):
        """The step's, among what the row shares."""
        return self.activations

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        dot = self._add(m)
        # Of table 0's value, if it has been complemented and not yet negated.
        minus = self.operand[spec.lanes] if spec.halved and not spec.zero else Const(0, 1)
        if spec.scales_sums:
            dot = _registered(m, "scaled", self._scaled(dot, minus))
            minus = _registered(m, "scaled_minus", minus)
        group_sum = self._accumulate(m, dot, minus)
        whole = group_sum[spec.fraction :].as_signed()
        self._finish(m, whole)
        return m

    def _finish(self, m, group_sum):
        """The group scale, if there is one, and the way out."""
        add_drain(m, self, group_sum if self.spec.group is None else add_dequantiser(m, self, group_sum))

    def _moved_down(self, group_sum):
        """The group's sum before this plane, in the unit of this plane."""
        return group_sum

    def _look_up(self, m, n, first):
        """The value of table `n`, whose first bit in the operand is `first`, without its sign if tables are halved."""
        table, size = self.tables[f"table_{n}"], self.spec.sizes[n]
        entries = [table.entries[i] for i in range(table.entries.shape().length)]
        entry = multiplex(entries, self.operand[first : first + size - self.spec.halved])
        if self.spec.per_table:
            return named(m, f"shifted_{n}", entry << table.exponent)
        return entry if self.spec.rounded else Cat(table.parity, entry).as_signed()

    def _add(self, m):
        """The sum of the tables' values, registered after each stage."""
        spec = self.spec
        total = Mux(self.operand[spec.lanes], self.tables.offset, 0) if spec.zero else None
        first = 0
        for n, size in enumerate(spec.sizes):
            value = named(m, f"value_{n}", self._look_up(m, n, first))
            minus = self.operand[first + size - 1] if spec.halved else None
            if total is not None:
                value = _combined(total, value, minus)
            elif minus is not None:
                value = _complemented(value, minus)
            total = Signal(signed(spec.partial_bits(n)), name=f"partial_{n}")
            m.d.comb += total.eq(value)
            if n + 1 == len(spec.sizes) or spec.stage_of(n + 1) != spec.stage_of(n):
                total = _registered(m, f"stage_{spec.stage_of(n)}", total)
            first += size
        return total

    def _scaled(self, dot, minus):
        """`dot` * 2^exponent, with `minus` moved in from the right."""
        most = largest_exponent(max(self.spec.sizes), self.spec.limit)
        if most == 0:
            return dot
        return (_moved(dot, minus, most) << self.tables.exponent)[most : len(dot) + 2 * most].as_signed()

    def _accumulate(self, m, dot, minus):
        """The register that adds up dot * 2^bsig."""
        spec, control = self.spec, self.control
        shifts = sorted({shift for f in spec.formats for shift in spec.shifts(f)})
        moved = Signal(signed(len(dot) + shifts[-1]))
        with m.Switch(control.bsig):
            for shift in shifts[:-1]:
                with m.Case(shift):
                    m.d.comb += moved.eq(_moved(dot, minus, shift))
            with m.Default():
                m.d.comb += moved.eq(_moved(dot, minus, shifts[-1]))
        total = Signal(signed(spec.group_bits), reset_less=True)
        before = Mux(control.first, 0, self._moved_down(total)).as_signed()
        with m.If(control.accumulate):
            m.d.sync += total.eq(_with_carry(moved, before, minus))
        return total


def multiplex(choices, index):
    """choices[index], of a power of two of them, as a tree of two-way multiplexers."""
    for bit in index:
        choices = [Mux(bit, high, low) for low, high in zip(choices[::2], choices[1::2], strict=True)]
    return choices[0]


def _combined(left, right, minus):
    """left + right, or left - right where `minus`."""
    if minus is None:
        return left + right
    return _with_carry(left, _complemented(right, minus), minus)


def _complemented(value, minus):
    """`value`, or -1 - value where `minus`."""
    return (value.as_unsigned() ^ minus.replicate(len(value))).as_signed()


def _with_carry(left, right, carry):
    """left + right + carry in one adder, whose carry comes from a bit below the lowest.

    Written as the difference of `left` and the complement of `right`, because from that synthesis knows to give the
    carry chain `left`, which is a register or a sum, and the rest of each LUT to the logic before `right`.
    """
    return (Cat(Const(0, 1), left).as_signed() - Cat(~carry, ~right).as_signed())[1:].as_signed()


def _moved(value, low, shift):
    """`value` * 2^`shift`, with the bit `low` in the new places."""
    return Cat(*([low] * shift), value).as_signed()


def _registered(m, name, value):
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register
