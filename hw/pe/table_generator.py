"""The tables in which PEs look values up."""

from amaranth import Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.arith.trees import pipelined_add_tree
from einloom.hw.arith.widths import signed_bits
from einloom.hw.part import Part


def entry_count(size: int, halved: bool) -> int:
    """Entries of a table of `size` lanes."""
    return 1 << (size - 1 if halved else size)


def exact_bits(size: int, halved: bool, limit: int) -> int:
    """Width of an exact entry; if the last lane's sign is always plus, an entry is less than limit * size."""
    return signed_bits(size * limit - 1 if halved else size * limit)


def tables_layout(sizes: tuple[int, ...], halved: bool, zero: bool, limit: int) -> data.StructLayout:
    """Layout of TableGenerator.shared, for activations of -limit .. limit - 1.

    The exact entries of a table are all odd or all even, so their lowest bit is kept once, as `parity`.
    """
    fields: dict[str, object] = {}
    for n, size in enumerate(sizes):
        entries = data.ArrayLayout(signed(exact_bits(size, halved, limit) - 1), entry_count(size, halved))
        fields[f"table_{n}"] = data.StructLayout({"parity": 1, "entries": entries})
    fields["offset"] = signed(signed_bits(sum(sizes) * limit)) if zero else 0
    return data.StructLayout(fields)


class TableGenerator(Part):
    """The look-up tables of a step: for each table the sums of its activations with all signs.

        entry[i] = a[last] + sum over the table's other lanes k of (bit k of i ? a[k] : -a[k])       halved
        entry[i] = sum over the table's lanes k of (bit k of i ? a[k] : -a[k])                       not halved

    There are no multipliers. A halved table of K lanes takes 2^K - 2 adders, which all columns share.

    Throughput: tables every cycle. Latency: 1 cycle + `delays`. Source: LUT Tensor Core (ISCA 2025), section III.

    Parameters
    ----------
    sizes : lanes of each table.
    halved : half of the entries are left out, those of the opposite signs.
    zero : make `offset`, minus the sum of all activations.
    limit : activations are -limit .. limit - 1.
    delays : more cycles for each table, and, last, for `offset`.

    Members
    -------
    activations : In, a signed integer per lane, lane 0 lowest
    shared : Out(tables_layout)
    """

    def __init__(self, sizes: tuple[int, ...], halved: bool, zero: bool, limit: int, delays: tuple[int, ...]):
        self.activation_bits = signed_bits(limit - 1)
        super().__init__({
            "activations": In(sum(sizes) * self.activation_bits),
            "shared": Out(tables_layout(sizes, halved, zero, limit)),
        })

    def build(self, m, platform):
        lanes = [self.activations.word_select(n, self.activation_bits).as_signed() for n in range(sum(self.sizes))]
        start = 0
        for n, size in enumerate(self.sizes):
            # Delay activations, not tables, because they are narrower.
            own = [
                delayed(m, f"lane_{start + k}", a, self.delays[n]) for k, a in enumerate(lanes[start : start + size])
            ]
            table = self.shared[f"table_{n}"]
            stored = Signal(table.shape(), name=f"stored_{n}", reset_less=True)
            entries = self._sums(m, n, own)
            m.d.sync += stored.parity.eq(entries[0][0])
            m.d.sync += [stored.entries[i].eq(entry >> 1) for i, entry in enumerate(entries)]
            m.d.comb += table.eq(stored)
            start += size
        if self.zero:
            total = pipelined_add_tree(m, "total", lanes, 1 + self.delays[-1])
            m.d.comb += self.shared.offset.eq(-total)

    def _sums(self, m, n, lanes):
        """All entries of table `n`. Each round of the loop adds a lane, with a plus, to all sums of those before."""
        sums = [lanes[0]]
        for level, lane in enumerate(lanes[1:], start=1):
            others = [-s for s in reversed(sums)] + sums  # of the lanes before, by their digits
            sums = []
            for i, other in enumerate(others):
                total = Signal(signed(exact_bits(level + 1, True, self.limit)), name=f"sum_{n}_{level}_{i}")
                m.d.comb += total.eq(lane + other)
                sums.append(total)
        return sums if self.halved else [-s for s in reversed(sums)] + sums


class TableDelay(Part):
    """Delays ready-made tables in a row, each to the cycle in which its value is added.

    Throughput: tables every cycle. Latency: `delays`.

    Parameters
    ----------
    layout : of the tables.
    delays : cycles for each table, and, last, for `offset`.

    Members
    -------
    activations : In(layout), as a plain value
    shared : Out(layout)
    """

    def __init__(self, layout: data.StructLayout, delays: tuple[int, ...]):
        super().__init__({"activations": In(layout.size), "shared": Out(layout)})

    def build(self, m, platform):
        tables = data.View(self.layout, self.activations)
        for n, cycles in enumerate(self.delays[:-1]):
            name = f"table_{n}"
            m.d.comb += self.shared[name].as_value().eq(delayed(m, name, tables[name].as_value(), cycles))
        m.d.comb += self.shared.offset.eq(delayed(m, "offset", tables.offset, self.delays[-1]))
