"""The tables that PEs look values up in."""

from amaranth import Array, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from hw.arith.delay import delayed
from hw.arith.named import named
from hw.arith.trees import add_tree
from hw.arith.widths import signed_bits
from hw.part import Part

LIMIT = 1 << 7  # of int8: -LIMIT .. LIMIT - 1
ENTRY_BITS = 8  # of rounded entries
ENTRY_LIMIT = (1 << (ENTRY_BITS - 1)) - 1  # of their magnitude


def entry_count(size: int, halved: bool) -> int:
    """Of a table of `size` lanes."""
    return 1 << (size - 1 if halved else size)


def exact_bits(size: int, halved: bool, limit: int) -> int:
    """Of an exact entry: from -limit * size to just below limit * size, if the last lane's sign is always plus."""
    return signed_bits(size * limit - 1 if halved else size * limit)


def largest_exponent(size: int) -> int:
    """Most by which entries of a table of `size` lanes are shifted to fit into ENTRY_BITS."""
    return max(0, (size * LIMIT).bit_length() - (ENTRY_BITS - 1))


def tables_layout(sizes: tuple[int, ...], halved: bool, rounded: bool, zero: bool, limit: int) -> data.StructLayout:
    """`shared` of TableGenerator, for activations of -limit .. limit - 1.

    All exact entries of a table are odd, or all are even: their lowest bit is kept once, as `parity`.
    """
    fields: dict[str, object] = {}
    for n, size in enumerate(sizes):
        bits, parity = (ENTRY_BITS, 0) if rounded else (exact_bits(size, halved, limit) - 1, 1)
        entries = data.ArrayLayout(signed(bits), entry_count(size, halved))
        fields[f"table_{n}"] = data.StructLayout({"parity": parity, "entries": entries})
    fields["exponent"] = range(largest_exponent(max(sizes)) + 1) if rounded else 0
    fields["offset"] = signed(signed_bits(sum(sizes) * limit)) if zero else 0
    return data.StructLayout(fields)


class TableGenerator(Part):
    """The look-up tables of a step: for each table the sums of its activations with all signs.

        entry[i] = a[last] + sum over the table's other lanes k of (bit k of i ? a[k] : -a[k])       halved
        entry[i] = sum over the table's lanes k of (bit k of i ? a[k] : -a[k])                       not halved

    Rounded entries are entry / 2^e, rounded to nearest even and saturated to -127 .. 127, with the same e for all
    tables of the step: the smallest with sum |a| < 2^(7 + e) for each table. No multipliers: 2^K - 2 adders for a table
    of K lanes that is halved, shared by all columns. Source: LUT Tensor Core (ISCA 2025), section III; there the scale
    of a rounded table is a float.

    Throughput: tables every cycle. Latency: 1 cycle, 2 with rounded entries, and what `delays` says.

    Parameters
    ----------
    sizes : lanes of each table.
    halved, rounded : see above; only int8 activations have rounded entries.
    limit : activations are -limit .. limit - 1.
    zero : make `offset`, minus the sum of all activations.
    delays : cycles more for each table, and, last, for the exponent.

    Members
    -------
    activations : In, a signed integer per lane, lane 0 lowest
    shared : Out(tables_layout)
    """

    def __init__(
        self, sizes: tuple[int, ...], halved: bool, rounded: bool, zero: bool, limit: int, delays: tuple[int, ...]
    ):
        self.sizes = sizes
        self.halved = halved
        self.rounded = rounded
        self.zero = zero
        self.limit = limit
        self.activation_bits = signed_bits(limit - 1)
        self.delays = delays
        super().__init__(
            {
                "activations": In(sum(sizes) * self.activation_bits),
                "shared": Out(tables_layout(sizes, halved, rounded, zero, limit)),
            },
            sizes=sizes,
            halved=halved,
            rounded=rounded,
            zero=zero,
            limit=limit,
            delays=delays,
        )

    def elaborate(self, platform):
        m = Module()
        lanes = [self.activations.word_select(n, self.activation_bits).as_signed() for n in range(sum(self.sizes))]
        tables, start = [], 0
        for n, size in enumerate(self.sizes):
            own = lanes[start : start + size]
            if not self.rounded:  # activations are narrower than their tables, so they wait, not the tables
                own = [delayed(m, f"lane_{start + k}", a, self.delays[n]) for k, a in enumerate(own)]
            tables.append(self._sums(m, n, own))
            start += size
        if self.rounded:
            self._round(m, tables, lanes)
        else:
            for n, entries in enumerate(tables):
                table = self.shared[f"table_{n}"]
                stored = Signal(table.shape(), name=f"stored_{n}", reset_less=True)
                m.d.sync += stored.parity.eq(entries[0][0])
                m.d.sync += [stored.entries[i].eq(entry >> 1) for i, entry in enumerate(entries)]
                m.d.comb += table.eq(stored)
        if self.zero:
            m.d.comb += self.shared.offset.eq(delayed(m, "offset", -add_tree(lanes), 1))
        return m

    def _sums(self, m, n, lanes):
        """All entries of table `n`; each level of the loop adds a lane to sums whose last lane has a plus."""
        sums = [lanes[0]]
        for level, lane in enumerate(lanes[1:], start=1):
            others = [-s for s in reversed(sums)] + sums  # of the lanes before, by their digits
            sums = []
            for i, other in enumerate(others):
                total = Signal(signed(exact_bits(level + 1, True, self.limit)), name=f"sum_{n}_{level}_{i}")
                m.d.comb += total.eq(lane + other)
                sums.append(total)
        return sums if self.halved else [-s for s in reversed(sums)] + sums

    def _round(self, m, tables, lanes):
        """Exact entries and their bound first, rounded ones a cycle later."""
        bound = Signal(signed_bits(max(self.sizes) * LIMIT), reset_less=True)  # has the highest bit of the largest one
        exponent = Signal(self.shared.exponent.shape())
        magnitudes, start, bounds = [Mux(a < 0, -a, a).as_unsigned() for a in lanes], 0, 0
        for size in self.sizes:
            bounds |= add_tree(magnitudes[start : start + size])
            start += size
        m.d.sync += bound.eq(bounds)
        last = len(exponent) and (1 << len(exponent)) - 1
        for e in range(last + 1):
            with m.If((bound >> (ENTRY_BITS - 1 + e) == 0) & ((bound >> (ENTRY_BITS - 2 + e) != 0) if e else 1)):
                m.d.comb += exponent.eq(e)
        for n, entries in enumerate(tables):
            table = self.shared[f"table_{n}"]
            for i, entry in enumerate(entries):
                exact = Signal(entry.shape(), name=f"exact_{n}_{i}", reset_less=True)
                m.d.sync += exact.eq(entry)
                rounded = named(m, f"entry_{n}_{i}", self._rounded(m, f"{n}_{i}", exact, exponent))
                m.d.comb += table.entries[i].eq(delayed(m, f"rounded_{n}_{i}", rounded, 1 + self.delays[n]))
        m.d.comb += self.shared.exponent.eq(delayed(m, "late_exponent", exponent, 1 + self.delays[-1]))

    def _rounded(self, m, name, exact, exponent):
        """`exact` / 2^`exponent`, rounded and saturated."""
        choices = [exact]
        for e in range(1, 1 << len(exponent)):
            kept, half, sticky = exact >> e, exact[e - 1], exact[: e - 1].any()
            choices.append(kept + (half & (sticky | kept[0])))
        value = named(m, f"quotient_{name}", Array(choices)[exponent])
        return Mux(value > ENTRY_LIMIT, ENTRY_LIMIT, Mux(value < -ENTRY_LIMIT, -ENTRY_LIMIT, value))


class TableDelay(Part):
    """A row's part where its tables come ready-made: each waits for the cycle in which its value is added.

    Parameters
    ----------
    layout : of the tables.
    delays : as of TableGenerator, in cycles.

    Members
    -------
    activations : In(layout), as a plain value
    shared : Out(layout)
    """

    def __init__(self, layout: data.StructLayout, delays: tuple[int, ...]):
        self.layout = layout
        self.delays = delays
        super().__init__({"activations": In(layout.size), "shared": Out(layout)}, layout=layout, delays=delays)

    def elaborate(self, platform):
        m = Module()
        tables = data.View(self.layout, self.activations)
        for n, cycles in enumerate(self.delays[:-1]):
            name = f"table_{n}"
            m.d.comb += self.shared[name].as_value().eq(delayed(m, name, tables[name].as_value(), cycles))
        m.d.comb += [
            self.shared.exponent.eq(delayed(m, "exponent", tables.exponent, self.delays[-1])),
            self.shared.offset.eq(tables.offset),
        ]
        return m
