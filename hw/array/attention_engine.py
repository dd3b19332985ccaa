"""The FuseMax attention engine: queries, keys and values in, outputs out."""

from dataclasses import dataclass

from amaranth import Cat, Const, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.array.attention_control import AttentionControl
from einloom.hw.array.attention_sequencer import AttentionSequencer
from einloom.hw.array.span_group import SpanGroup
from einloom.hw.array.tile_walk import job_layout
from einloom.hw.buffers.parity import corrupt_port
from einloom.hw.part import Part
from einloom.hw.pe.attention_column import AttentionColumn
from einloom.hw.pe.normaliser import DivisionControl
from einloom.hw.pe.serial_column import SerialColumn
from einloom.hw.replicated import Replicated
from einloom.hw.wires import feed, join, members
from einloom.spec.attention_format import OUTPUT_BITS, QUERY_ADDRESS_BITS, QUERY_BITS, AttentionFormat


@dataclass(frozen=True)
class AttentionSpec:
    """Size of an attention engine.

    Parameters
    ----------
    format : of all numbers.
    rows, columns : keys and queries at once.
    digits : quotient bits a cycle.
    spans : columns that can share a query, and tiles in a beat.
    parity : states have parity bits; with one span only.
    serial : a column computes its exponentials one after the other (SerialColumn) instead of in its PEs; with one span
        only.
    """

    format: AttentionFormat
    rows: int
    columns: int
    digits: int
    spans: int = 1
    parity: bool = False
    serial: bool = False

    def __post_init__(self) -> None:
        if self.serial and self.spans > 1:
            raise ValueError(f"exponentials are serial with one span only, not with {self.spans}")
        if self.parity and self.spans > 1:
            raise ValueError(f"states have parity with one span only, not with {self.spans}")


class AttentionEngine(Part):
    """output[f, p] = sum over m of softmax(score[m, p]) * V[f, m], in the arithmetic of spec/attention_format.py.

    Dataflow: a tile of `rows` keys against `columns` queries at a time; queries are broadcast down the columns, keys
    and values along the rows. Divisions are deferred to the end of a block of queries, and done while the next block is
    computed. The memory on the chip does not grow with the number of keys.
    With `spans` a job of few queries can be split. Column `spans` * p + s has the keys of span s for query p, and
    column `spans` * p gives the output for all of them (SpanGroup); a tile is `spans` times as long.
    Throughput: a tile in E + F + 6 cycles, or E + F + 2 with `serial` exponentials (AttentionSequencer); of the
    outputs, DivisionControl's. Latency: 3 cycles from a job to its first key; 1 + `final_delay` and DivisionControl's
    from its last value to its first output.
    Source: FuseMax (MICRO 2024); the spans, LeanAttention (2024).

    Members
    -------
    job : In, stream, a block of queries
    keys, values : In, streams; a beat is one e (or f) of all keys of a tile, row 0 lowest; E (or F) beats per visited
        tile, in the order of tiles. A job's values follow its keys by one tile. With spans a beat has as many slices
        of a tile's `rows`; a job that is not split uses the lowest.
    query_address, query_read : Out, read a word of the queries
    queries : In, a cycle later, that word for every column, column 0 lowest; held until the next read
    outputs : Out, stream, for each f the outputs of all columns, column 0 lowest
    idle : Out(1), nothing is at work and no output waits
    busy : Out(1), the PEs of the 2D array are at work
    row_busy : Out(1), the 1D PEs are at work
    corrupt : Out(1), with parity only: a state that was used in the cycle before lost a bit
    """

    def __init__(self, spec: AttentionSpec):
        beat = spec.spans * spec.rows * spec.format.input_bits
        self.sequencer = AttentionSequencer(spec.format, spec.rows, spec.spans, spec.serial)
        super().__init__({
            "job": In(stream.Signature(job_layout(spec.format, spec.spans))),
            **members(In, "keys", "values", shape=stream.Signature(beat)),
            "query_address": Out(QUERY_ADDRESS_BITS),
            "query_read": Out(1),
            "queries": In(spec.columns * QUERY_BITS),
            "outputs": Out(stream.Signature(data.ArrayLayout(signed(OUTPUT_BITS), spec.columns))),
            **members(Out, "idle", "busy", "row_busy"),
            **corrupt_port(spec.parity),
        })

    def build(self, m, platform):
        spec, format = self.spec, self.spec.format
        sequencer = self.sequencer.place(m, "sequencer", platform)
        control = AttentionControl(format, spec.rows, spec.spans, spec.serial).place(m, "control", platform)
        division = DivisionControl(format, spec.digits).place(m, "division", platform)
        if spec.spans > 1:
            column = SpanGroup(format, spec.rows, spec.digits, spec.spans)
        elif spec.serial:
            column = SerialColumn(format, spec.rows, spec.digits, spec.parity)
        else:
            column = AttentionColumn(format, spec.rows, spec.digits, parity=spec.parity)
        sliced = ("query", "result", "corrupt")
        grid = Replicated(column, spec.columns // spec.spans, sliced=sliced).place(m, "grid", platform)
        if spec.parity:
            m.d.sync += self.corrupt.eq(grid.corrupt.any())

        join(m, self.job, sequencer.job)
        feed(m, sequencer, self, "query_address", "query_read")
        feed(m, sequencer, control, "issue")
        feed(m, control, grid, "control", "row_control", "mask_control", *(["serial_control"] if spec.serial else []))
        feed(m, control, self, "row_busy")
        m.d.comb += [
            sequencer.key_valid.eq(self.keys.valid),
            self.keys.ready.eq(sequencer.key_take),
            sequencer.value_valid.eq(self.values.valid),
            self.values.ready.eq(sequencer.value_take),
            grid.query.eq(self.queries),
            grid.row.eq(self._row(m, sequencer)),
            grid.tile.eq(sequencer.tiles.as_value()),
            self.busy.eq(sequencer.issue.valid),
        ]
        if spec.spans > 1:
            feed(m, control, grid, "sum_spans")
        self._divide(m, sequencer, control, division, grid)

    def _row(self, m, sequencer):
        """The row operand of each span: the key or value taken, or the denominator's unit in every row."""
        spec = self.spec
        row = Signal(len(self.keys.payload), reset_less=True)
        unit = Cat(Const(spec.format.unit, spec.format.input_bits) for _ in range(spec.spans * spec.rows))

        def spread(payload):
            """Each span's slice of a beat; all have the lowest unless the job is split."""
            lowest, *others = (payload.word_select(s, len(row) // spec.spans) for s in range(spec.spans))
            return Cat(lowest, *(Mux(sequencer.split, other, lowest) for other in others))

        with m.If(sequencer.key_take):
            m.d.sync += row.eq(spread(self.keys.payload))
        with m.Else():
            m.d.sync += row.eq(Mux(sequencer.value_take, spread(self.values.payload), unit))
        return row

    def _divide(self, m, sequencer, control, division, grid):
        """Take final states to the dividers. A block of queries has these from its first such state on."""
        taken = Signal()
        begins = sequencer.issue.valid & sequencer.issue.last & sequencer.issue.end
        m.d.sync += taken.eq(begins | (taken & ~division.done))
        write = grid.divider_control
        feed(m, division, write, "address", "divisor", "dividend", "step")
        m.d.comb += [
            sequencer.dividers_free.eq(~taken),
            division.start.eq(control.final_end),
            division.head.eq(sequencer.final_head),
            write.write.eq(control.final),
            write.write_address.eq(control.final_address),
            self.outputs.valid.eq(division.valid),
            self.outputs.payload.eq(grid.result),
            division.ready.eq(self.outputs.ready),
            self.idle.eq(sequencer.idle & ~taken),
        ]
