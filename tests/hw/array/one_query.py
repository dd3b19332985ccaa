"""One query against one tile of keys (for each span), with the issue written out by hand."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from amaranth import Module
from amaranth.lib.wiring import In, Out

from einloom.hw.array.attention_control import AttentionControl, exp_delay, issue_layout, serial_delay
from einloom.hw.array.span_group import SpanGroup
from einloom.hw.part import Part
from einloom.hw.pe.attention_column import AttentionColumn, tile_layout
from einloom.hw.pe.fusemax import PE_LATENCY, Step
from einloom.hw.pe.normaliser import DivisionControl
from einloom.hw.pe.serial_column import SerialColumn
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.golden.fusemax import attend
from einloom.spec.attention_format import EXP2_STEPS, OUTPUT_BITS, QUERY_BITS, AttentionFormat, Mask

Integers = npt.NDArray[np.int64]
DIGITS = 2


class OneQuery(Part):
    """A column, or the columns of a query's spans, with the control of the arrays and of the dividers."""

    def __init__(self, format: AttentionFormat, rows: int, spans: int, serial: bool = False):
        super().__init__({
            "issue": In(issue_layout(format, spans)),
            "query": In(QUERY_BITS),
            "row": In(spans * rows * format.input_bits),
            "tile": In(tile_layout(format, rows, spans)).array(spans),
            "head": In(range(format.max_head + 1)),
            "result": Out(OUTPUT_BITS),
            "valid": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        format, rows, spans = self.format, self.rows, self.spans
        control = AttentionControl(format, rows, spans, self.serial).place(m, "control", platform)
        division = DivisionControl(format, DIGITS).place(m, "division", platform)
        alone = SerialColumn if self.serial else AttentionColumn
        column = SpanGroup(format, rows, DIGITS, spans) if spans > 1 else alone(format, rows, DIGITS)
        column.place(m, "column", platform)
        if spans > 1:
            m.d.comb += column.sum_spans.eq(control.sum_spans)
            m.d.comb += [column.tile[s].eq(self.tile[s]) for s in range(spans)]
        else:
            m.d.comb += column.tile.eq(self.tile[0])
        if self.serial:
            m.d.comb += column.serial_control.eq(control.serial_control)
        write = column.divider_control
        m.d.comb += [
            control.issue.eq(self.issue),
            column.query.eq(self.query.replicate(spans)),
            column.row.eq(self.row),
            column.control.eq(control.control),
            column.row_control.eq(control.row_control),
            column.mask_control.eq(control.mask_control),
            division.start.eq(control.final_end),
            division.head.eq(self.head),
            division.ready.eq(1),
            write.write.eq(control.final),
            write.write_address.eq(control.final_address),
            *(getattr(write, name).eq(getattr(division, name)) for name in ("address", "divisor", "dividend", "step")),
            self.valid.eq(division.valid),
            self.result.eq(column.result[:OUTPUT_BITS]),
        ]
        return m


@dataclass(frozen=True)
class Tile:
    """A query, and what it meets."""

    query: Integers  # [E]
    scale: int
    position: int
    keys: Integers  # [M, E]
    values: Integers  # [M, F]
    mask: Mask


def packed(numbers: Integers, bits: int) -> int:
    return sum((int(n) & (1 << bits) - 1) << bits * i for i, n in enumerate(numbers))


def check(part: OneQuery, tile: Tile) -> None:
    """The quotients of the states are golden's."""
    format, rows, spans = part.format, part.rows, part.spans
    held: dict[str, list] = {"issue": [], "query": [], "row": []}

    def filled(column: Integers) -> int:
        whole = np.zeros(rows * spans, np.int64)
        whole[: len(column)] = column
        return packed(whole, format.input_bits)

    def cycle(query: int = 0, row: int = 0, **issue: object) -> None:
        held["issue"].append(issue)
        held["query"].append(int(query) & 0xFFFF)
        held["row"].append(row)

    split = {"merge": 1} if spans > 1 else {}
    for e in range(len(tile.query)):
        cycle(tile.query[e], filled(tile.keys[:, e]), valid=1, step=Step.SCORE, first=int(e == 0))
    cycle(tile.position & 0xFFFF, position_low=1)
    cycle(tile.position >> QUERY_BITS, position_high=1)
    for _ in range(PE_LATENCY):
        cycle()
    cycle(tile.scale, valid=1, step=Step.SCALE, first=1, **split)
    for _ in range((serial_delay(rows) if part.serial else exp_delay(rows, spans)) - 1):
        cycle()
    for n in range(0 if part.serial else EXP2_STEPS):
        cycle(valid=1, step=Step.EXP, term=n)
        for _ in range(PE_LATENCY - 1):
            cycle()
    cycle(load=1)
    head = tile.values.shape[1]
    common = {"valid": 1, "step": Step.VALUE, "last": 1, **split}
    # The denominator comes first, so that it is in the dividers' memory when they start.
    unit = filled(np.full(rows * spans, format.unit))
    cycle(row=unit, address=format.max_head, **common)
    for f in range(head):
        cycle(row=filled(tile.values[:, f]), address=f, end=int(f + 1 == head), **common)
    cycle()
    sinks = tile.mask.sinks
    tiles = {
        f"tile_{s}": {
            "base": s * rows,
            "keys": tile.mask.keys,
            "causal": int(tile.mask.causal),
            "window": tile.mask.window,
            "sink_rows": min(max(sinks - s * rows, 0), rows),
        }
        for s in range(spans)
    }
    found: list[int] = []
    bench = PartBench(
        part,
        held={**held, **tiles, "head": head},
        partners=[lambda cycle: found.append(cycle["result"]) if cycle["valid"] else None],
        until=lambda: len(found) >= head,
        limit=20_000,
    )
    bench.check(lambda _: {})
    operands = (tile.query[None], np.array([tile.scale]), np.array([tile.position]), tile.keys, tile.values)
    expected = attend(format, rows, *operands, tile.mask, spans).outputs()[:, 0]
    signed = [n - (1 << OUTPUT_BITS) if n >> OUTPUT_BITS - 1 else n for n in found]
    for f, (one, other) in enumerate(zip(signed, expected.tolist(), strict=True)):
        assert one == other, f"value {f} of {head}: found {one}, expected {other}"


def random_tile(seed: int, format: AttentionFormat, most_keys: int) -> Tile:
    rng = np.random.default_rng(seed)
    limit = 1 << format.input_bits - 1
    size, head, keys = (int(n) for n in (rng.integers(3, 9), rng.integers(1, 9), rng.integers(1, most_keys + 1)))
    mask = Mask(keys, causal=bool(rng.integers(2)), window=int(rng.choice([0, 0, 2])), sinks=int(rng.integers(0, 2)))
    return Tile(
        query=rng.integers(-(1 << 15), 1 << 15, size) >> int(rng.integers(0, 8)),
        scale=int(rng.integers(1, 1 << int(rng.integers(2, 12)))),
        position=int(rng.integers(keys)),
        keys=rng.integers(-limit, limit, (keys, size)),
        values=rng.integers(-limit, limit, (keys, head)),
        mask=mask,
    )
