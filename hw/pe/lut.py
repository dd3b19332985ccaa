"""The processing element that multiplies by table look-up."""

from dataclasses import dataclass
from itertools import accumulate, pairwise

from amaranth import Cat, Const, Mux, Signal, signed
from amaranth.lib import data

from einloom.hw.arith.adders import add_or_subtract, add_with_carry, complemented, moved_up, multiplex
from einloom.hw.arith.delay import delayed, registered
from einloom.hw.arith.named import named
from einloom.hw.arith.trees import tree
from einloom.hw.arith.widths import INT8_LIMIT, signed_bits
from einloom.hw.part import Part
from einloom.hw.pe.plane_column import PlaneColumn
from einloom.hw.pe.ports import add_dequantiser, add_drain, pe_ports
from einloom.hw.pe.rounded_tables import ENTRY_LIMIT, ROUND_CYCLES, RoundedTables, largest_exponent, rounded_layout
from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.table_generator import TableDelay, TableGenerator, tables_layout
from einloom.hw.pe.timing import Timing
from einloom.hw.wires import choose
from einloom.spec.formats import SCALE_BITS, Format
from einloom.spec.lookup import table_sizes
from einloom.spec.manifest import LookupLayout

ADDED_AT_ONCE = 4
"""Tables whose values are added in one cycle: four or five LUTs in a row, since a LUT of six inputs chooses a bit of an
entry and adds it to a bit of the sum."""
SHIFTED_AT_ONCE = 2
"""The same for tables with an exponent each, whose entries are chosen and shifted by LUTs in front of the adder."""
CHAIN_STAGES = 2
"""Cycles of a chain of adders. In a chain every adder also chooses from a table. But a long chain has wide sums, and
registers for operands that come late. Several chains, whose sums a tree adds, take the fewest LUTs."""


@dataclass(frozen=True)
class LutSpec(PeSpec):
    """Size of a look-up PE for int8 activations, and the widths that follow.

    Parameters
    ----------
    lanes : activations multiplied at once.
    table_inputs : lanes of a table, at most.
    table : "full", "half" or "remap"; spec/config_engines.py explains them.
    entries : "exact" or "int8".
    entry_scale : int8 entries of a "step" or of a "table" share an exponent.
    formats : weight formats, which have planes.
    group : inputs that share a scale; None if only output channels have one, which the caller applies.
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
    limit = INT8_LIMIT  # the tables' inputs are -limit .. limit - 1

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
        """The sum of a step's values is shifted into the unit of activations, in a stage of its own."""
        return self.rounded and not self.per_table

    @property
    def zero(self) -> bool:
        """A format has a zero point."""
        return any(f.zero for f in self.formats)

    @property
    def fraction(self) -> int:
        """Fraction bits of sums: one if a format has a plane of halves, or an odd zero point."""
        return 0 if all(min(f.planes) > 0 and f.zero % 2 == 0 for f in self.formats) else 1

    def shifts(self, format: Format) -> tuple[int, ...]:
        return tuple(shift - 1 + self.fraction for shift in format.planes)

    @property
    def added_at_once(self) -> int:
        """Tables of a chain whose values are added in one cycle."""
        return SHIFTED_AT_ONCE if self.per_table else ADDED_AT_ONCE

    @property
    def chains(self) -> tuple[range, ...]:
        """The tables whose values one chain adds, for each chain."""
        ends = accumulate(table_sizes(len(self.sizes), CHAIN_STAGES * self.added_at_once))
        return tuple(range(start, end) for start, end in pairwise((0, *ends)))

    @property
    def chain_stages(self) -> int:
        """Cycles from the tables to the sums of all chains."""
        return -(-max(len(chain) for chain in self.chains) // self.added_at_once)

    @property
    def dot_stages(self) -> int:
        """Cycles from the tables to the sum of their values."""
        return self.chain_stages + (len(self.chains) > 1 or self.zero)

    @property
    def signs(self) -> tuple[int, ...]:
        """Bits of a plane that are needed again: the signs of each chain's first table.

        These values are complemented where there is no adder to negate them.
        """
        if not self.halved:
            return ()
        return tuple(sum(self.sizes[: chain.start + 1]) - 1 for chain in self.chains)

    @property
    def row_cycles(self) -> int:
        """Cycles from a row's register to the tables."""
        return 0 if self.prepared else self.table_cycles

    @property
    def table_cycles(self) -> int:
        """Cycles from integers to their tables."""
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
        """Cycles by which each bit of PlaneColumn.operand is later than the column's own register."""
        delays = [delay for delay, size in zip(self.table_delays, self.sizes, strict=True) for _ in range(size)]
        in_tree = [self.chain_stages] * (self.zero + len(self.signs))
        if self.signs and not self.zero:
            in_tree[0] = self.dot_stages  # the tree has an adder less than there are chains; the accumulator has one
        delays += in_tree
        return tuple(self.row_cycles + delay for delay in delays)

    @property
    def operand_bits(self) -> int:
        return len(self.operand_delays)

    @property
    def group_bits(self) -> int:
        """Width of a group's sum with its fraction; without group scales, of the whole dot product.

        The sum of only some planes may wrap; modulo 2^n the complete sum is exact. Rounding makes an entry larger by at
        most half a unit of its exponent.
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
        """The most that rounding adds to a value of a table of `size` lanes."""
        shared_by = size if self.per_table else max(self.sizes)
        return (1 << largest_exponent(shared_by, self.limit)) // 2

    @property
    def value_bits(self) -> int:
        """Width of a whole dot product with its group scales."""
        whole = self.group_bits - self.fraction
        if self.group is None:
            return whole
        groups = self.max_inputs // self.group
        return signed_bits((1 << (whole - 1)) * groups * ((1 << SCALE_BITS) - 1))

    @property
    def shared(self) -> data.StructLayout:
        """The layout that a row hands to its PEs."""
        return self.tables

    @property
    def tables(self) -> data.StructLayout:
        """The layout of a step's tables."""
        if self.rounded:
            return rounded_layout(self.sizes, self.halved, self.limit, self.per_table)
        return tables_layout(self.sizes, self.halved, self.zero, self.limit)

    def part(self) -> "LutPE":
        return LutPE(self)

    def column(self, formats: tuple[Format, ...]) -> PlaneColumn:
        # A column keeps a group's scale until the next group ends, at least as many cycles as a scale has bits.
        delay = None if self.group is None else max(0, self.timing.capture - SCALE_BITS)
        return PlaneColumn(
            formats, self.sizes, self.halved, self.table == "remap", self.signs, self.operand_delays, delay
        )

    @property
    def table_delays(self) -> tuple[int, ...]:
        """Cycles by which each table is later than the first one of its chain."""
        return tuple(n // self.added_at_once for chain in self.chains for n in range(len(chain)))

    def row(self) -> Part:
        if self.prepared:
            return TableDelay(self.shared, (*self.table_delays, self.chain_stages))
        return self.generator()

    def prepare(self) -> Part | None:
        if not self.prepared:
            return None
        return TableGenerator(self.sizes, self.halved, self.zero, self.limit, (0,) * (len(self.sizes) + 1))

    def generator(self) -> Part:
        """The part that makes `tables` in a row."""
        if self.rounded:
            delays = (*self.table_delays, self.dot_stages)
            return RoundedTables(self.sizes, self.halved, self.limit, self.per_table, delays)
        return TableGenerator(self.sizes, self.halved, self.zero, self.limit, (*self.table_delays, self.chain_stages))

    def partial_bits(self, tables: range) -> int:
        """Width of the sum of the values of `tables`; of all tables, with the zero point's.

        The sum is one less if the first value is complemented and not negated.
        """
        sizes = self.sizes[tables.start : tables.stop]
        if self.scales_sums:
            return signed_bits((ENTRY_LIMIT + 1) * len(sizes) - 1)
        if self.per_table:
            return signed_bits(sum(self.limit * size + self._half_unit(size) for size in sizes))
        limit = self.limit * sum(sizes)
        if self.zero and len(tables) == len(self.sizes):
            return signed_bits(limit + self.limit * self.lanes)
        return signed_bits(limit - self.halved)


class LutPE(Part):
    """Output-stationary multiply-accumulate by table look-up, one plane of weights a cycle; no multipliers.

        dot   = sum over the step's tables j of sign[j] * table_j[index[j]] * 2^exponent[j]
        sum   = sum over steps and planes of (dot + offset in the plane of the zero point) * 2^shift
                = sum over the weights k of activation[k] * value[k], and * scale, with group scales

    Chains add tables' values one after the other. The left input of an adder is the sum so far; its right input is an
    entry, which the adder's own LUTs choose and negate. A tree adds the chains' sums.

    To negate a value we complement it and add 1 as a carry. A chain's first value has no adder. Its carry enters
    further on: for chain 2 on at an adder of the tree; for chain 1 at the accumulator, below a shifted sum whose new
    low bits are ones. With a zero point the tree has an adder more, which takes the carry of chain 1, too.

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
        super().__init__(pe_ports(spec, spec.shared, spec.operand_bits))

    @property
    def tables(self):
        """The step's tables, a part of what the row shares."""
        return self.activations

    def build(self, m, platform):
        spec = self.spec
        dot = self._add(m)
        # The carry that negates table 0's value, if the tree has not added it.
        minus = self.operand[spec.lanes] if spec.signs and not spec.zero else Const(0, 1)
        if spec.scales_sums:
            dot = delayed(m, "scaled", self._scaled(dot, minus), 1)
            minus = delayed(m, "scaled_minus", minus, 1)
        group_sum = self._accumulate(m, dot, minus)
        self._finish(m, group_sum[spec.fraction :].as_signed())

    def _finish(self, m, group_sum):
        """Multiply by the group scale, if there is one, and send the sum out."""
        add_drain(m, self, group_sum if self.spec.group is None else add_dequantiser(m, self, group_sum))

    def _moved_down(self, group_sum):
        """The group's sum before this plane, shifted into the unit of this plane."""
        return group_sum

    def _look_up(self, m, n, first):
        """The value of table `n`, without its sign if tables are halved; bit `first` of the operand is its first."""
        table, size = self.tables[f"table_{n}"], self.spec.sizes[n]
        entries = [table.entries[i] for i in range(table.entries.shape().length)]
        entry = multiplex(entries, self.operand[first : first + size - self.spec.halved])
        if self.spec.per_table:
            return named(m, f"shifted_{n}", entry << table.exponent)
        return entry if self.spec.rounded else Cat(table.parity, entry).as_signed()

    def _add(self, m):
        """The sum of the chains, and of the zero point's offset."""
        spec = self.spec
        sums = [self._add_chain(m, chain) for chain in spec.chains]
        signs = list(self.operand[spec.lanes + spec.zero :])
        if spec.zero:
            sums.append(Mux(self.operand[spec.lanes], self.tables.offset, 0).as_signed())
        if len(sums) == 1:
            return sums[0]
        carries = signs[len(signs) - len(sums) + 1 :] if spec.halved else [Const(0, 1)] * (len(sums) - 1)
        total = tree(lambda left, right: add_with_carry(left, right, carries.pop()), sums)
        return registered(m, "dot", total, signed(spec.partial_bits(range(len(spec.sizes)))))

    def _add_chain(self, m, chain):
        """The sum of the tables' values of a chain, registered after each stage, `chain_stages` cycles later."""
        spec, total = self.spec, None
        for n in chain:
            size, first = spec.sizes[n], sum(spec.sizes[:n])
            value = named(m, f"value_{n}", self._look_up(m, n, first))
            minus = self.operand[first + size - 1] if spec.halved else None
            if total is not None:
                value = add_or_subtract(total, value, minus)
            elif minus is not None:
                value = complemented(value, minus)
            total = Signal(signed(spec.partial_bits(range(chain.start, n + 1))), name=f"partial_{n}")
            m.d.comb += total.eq(value)
            if n + 1 == chain.stop or spec.table_delays[n + 1] != spec.table_delays[n]:
                total = delayed(m, f"sum_{n}", total, 1)
        stages = spec.table_delays[chain.stop - 1] + 1
        return delayed(m, f"early_{chain.start}", total, spec.chain_stages - stages)

    def _scaled(self, dot, minus):
        """`dot` * 2^exponent, with `minus` moved in from the right."""
        most = largest_exponent(max(self.spec.sizes), self.spec.limit)
        if most == 0:
            return dot
        return (moved_up(dot, minus, most) << self.tables.exponent)[most : len(dot) + 2 * most].as_signed()

    def _accumulate(self, m, dot, minus):
        """Add up dot * 2^bsig in a register."""
        spec, control = self.spec, self.control
        shifts = sorted({shift for f in spec.formats for shift in spec.shifts(f)})
        moved = Signal(signed(len(dot) + shifts[-1]))
        moves = {shift: moved_up(dot, minus, shift) for shift in shifts}
        choose(m, moved, control.bsig, moves, moves.pop(shifts[-1]))
        total = Signal(signed(spec.group_bits), reset_less=True)
        before = Mux(control.first, 0, self._moved_down(total)).as_signed()
        with m.If(control.accumulate):
            m.d.sync += total.eq(add_with_carry(moved, before, minus))
        return total
