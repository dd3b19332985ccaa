"""Look-up tables whose entries are rounded to eight bits."""

from functools import reduce
from operator import or_

from amaranth import Cat, Const, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.arith.named import named
from einloom.hw.arith.trees import add_tree
from einloom.hw.arith.widths import signed_bits
from einloom.hw.part import Part
from einloom.hw.pe.table_generator import TableGenerator, entry_count

ENTRY_BITS = 8
ENTRY_LIMIT = (1 << (ENTRY_BITS - 1)) - 1  # of an entry's magnitude
MERGED_AT_ONCE = 4  # bounds of tables, in the cycle of their sums
ROUND_CYCLES = 2  # from exact tables to rounded ones: their exponents are found, entries rounded


def largest_exponent(size: int, limit: int) -> int:
    """The shift with which the largest entry of `size` lanes below `limit` fits into ENTRY_BITS."""
    return max(0, (size * limit).bit_length() - (ENTRY_BITS - 1))


def rounded_layout(sizes: tuple[int, ...], halved: bool, limit: int, per_table: bool) -> data.StructLayout:
    """Layout of RoundedTables.shared; there is one exponent for all tables, or one in each."""
    fields: dict[str, object] = {}
    for n, size in enumerate(sizes):
        exponent = range(largest_exponent(size, limit) + 1) if per_table else 0
        entries = data.ArrayLayout(signed(ENTRY_BITS), entry_count(size, halved))
        fields[f"table_{n}"] = data.StructLayout({"exponent": exponent, "entries": entries})
    fields["exponent"] = 0 if per_table else range(largest_exponent(max(sizes), limit) + 1)
    return data.StructLayout(fields)


class RoundedTables(Part):
    """The look-up tables of a step with int8 entries, and the exponents of these.

        entry[i] = saturate(round(exact[i] / 2^e)), exact[i] as of TableGenerator,

    rounded to nearest, ties to even, saturated to -127 .. 127. e is the smallest exponent with sum |a| < 2^(7 + e) over
    the lanes of the table, or over those of each table if all share it.

    Throughput: tables every cycle. Latency: 1 + ROUND_CYCLES + `delays`. Source: LUT Tensor Core (ISCA 2025), section
    III, which has a float for each table where this has a power of two.

    Parameters
    ----------
    sizes, halved, limit : see TableGenerator.
    per_table : each table has an exponent of its own.
    delays : more cycles for each table, and, last, for the exponent that all share.

    Members
    -------
    activations : In, a signed integer per lane, lane 0 lowest
    shared : Out(rounded_layout)
    """

    def __init__(self, sizes: tuple[int, ...], halved: bool, limit: int, per_table: bool, delays: tuple[int, ...]):
        self.activation_bits = signed_bits(limit - 1)
        super().__init__({
            "activations": In(sum(sizes) * self.activation_bits),
            "shared": Out(rounded_layout(sizes, halved, limit, per_table)),
        })

    def build(self, m, platform):
        exact = TableGenerator(self.sizes, self.halved, False, self.limit, (0,) * (len(self.sizes) + 1))
        exact.place(m, "exact", platform)
        m.d.comb += exact.activations.eq(self.activations)
        exponents = self._exponents(m)
        for n in range(len(self.sizes)):
            table, waited = exact.shared[f"table_{n}"], f"table_{n}"
            rounded = Signal(self.shared[waited].shape(), name=f"rounded_{n}", reset_less=True)
            exponent = exponents[n if self.per_table else 0]
            if self.per_table:
                m.d.sync += rounded.exponent.eq(exponent)
            parity = delayed(m, f"parity_{n}", table.parity, 1)
            for i in range(table.entries.shape().length):
                entry = Cat(parity, delayed(m, f"entry_{n}_{i}", table.entries[i], 1)).as_signed()
                m.d.sync += rounded.entries[i].eq(self._rounded(m, f"{n}_{i}", entry, exponent))
            late = delayed(m, f"late_{n}", rounded, self.delays[n])
            m.d.comb += self.shared[waited].eq(late)
        if not self.per_table:
            m.d.comb += self.shared.exponent.eq(delayed(m, "exponent", exponents[0], 1 + self.delays[-1]))

    def _exponents(self, m):
        """The exponents of the tables, or the one of all, two cycles after the activations."""
        start, bounds = 0, []
        for n, size in enumerate(self.sizes):
            lanes = [self.activations.word_select(start + k, self.activation_bits).as_signed() for k in range(size)]
            bounds.append(named(m, f"bound_{n}", add_tree([Mux(a < 0, -a, a).as_unsigned() for a in lanes])))
            start += size
        if self.per_table:
            return [
                self._exponent(m, n, [bound], size)
                for n, (bound, size) in enumerate(zip(bounds, self.sizes, strict=True))
            ]
        return [self._exponent(m, 0, bounds, max(self.sizes))]

    def _exponent(self, m, n, bounds, size):
        """The smallest exponent that all `bounds` allow, two cycles later. Their OR has the largest bound's top bit."""
        parts = [bounds[k : k + MERGED_AT_ONCE] for k in range(0, len(bounds), MERGED_AT_ONCE)]
        merged = [delayed(m, f"bits_{n}_{k}", reduce(or_, part), 1) for k, part in enumerate(parts)]
        bits = named(m, f"bits_{n}", reduce(or_, merged))
        most = largest_exponent(size, self.limit)
        exponent = Signal(range(most + 1), name=f"exponent_{n}", reset_less=True)
        m.d.sync += exponent.eq(0)
        for e in range(1, most + 1):  # the last one holds
            with m.If(bits[ENTRY_BITS - 2 + e]):
                m.d.sync += exponent.eq(e)
        return exponent

    def _rounded(self, m, name, exact, exponent):
        """`exact` / 2^`exponent`, rounded and saturated."""
        most = (1 << len(exponent)) - 1
        shifted = named(m, f"shifted_{name}", Cat(Const(0, most), exact).as_signed() >> exponent)
        # |exact| < 2^(7 + e), so what is kept fits, and only the two ends of its range can leave that of entries.
        kept, half, sticky = shifted[most:][:ENTRY_BITS].as_signed(), shifted[most - 1], shifted[: most - 1].any()
        lowest, highest = kept == -ENTRY_LIMIT - 1, kept == ENTRY_LIMIT
        return kept + (lowest | half & (sticky | kept[0]) & ~highest)
