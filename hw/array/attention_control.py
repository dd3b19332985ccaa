"""From the issue of a step to the control signals of the attention arrays some cycles later."""

from amaranth import Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.pe.attention_column import MASK_CONTROL
from einloom.hw.pe.fusemax import PE_CONTROL, PE_LATENCY, Step
from einloom.hw.pe.online_softmax import row_control
from einloom.hw.pe.reduction import stages
from einloom.spec.attention_format import EXP2_STEPS, AttentionFormat


def issue_layout(format: AttentionFormat, spans: int = 1) -> data.StructLayout:
    """A step at work, in the cycle in which its operands are at the columns."""
    return data.StructLayout({
        "valid": 1,  # the 2D array is busy
        "step": Step,
        "first": 1,  # SCORE: the first of its dot product; SCALE: of the first tile of its queries
        "term": range(EXP2_STEPS),  # EXP
        "address": range(format.max_head + 1),  # VALUE: of the state
        "last": 1,  # VALUE: of the last tile of its queries
        "end": 1,  # ... and the last of them
        "merge": int(spans > 1),  # SCALE, VALUE: of the last tile of a job that is split over the spans
        "load": 1,  # exponentials become probabilities and corrections, beside the step
        "position_low": 1,  # a word of the queries' positions is at the columns, beside the step
        "position_high": 1,
    })


def span_stages(spans: int) -> int:
    """Cycles of a tree over the columns that share a query."""
    return stages(spans) if spans > 1 else 0


def merge_delay(spans: int) -> int:
    """Cycles from a column's running maximum to that of all its query's columns: the tree, and the write."""
    return span_stages(spans) + 1 if spans > 1 else 0


def exp_delay(rows: int, spans: int = 1) -> int:
    """Cycles from the issue of SCALE to the first issue of EXP: the score, its maximum over the rows, with the running
    one and over the spans, and the difference."""
    return PE_LATENCY + stages(rows) + 2 + merge_delay(spans)


def final_delay(rows: int, spans: int = 1) -> int:
    """Cycles from the issue of a VALUE step to the write of its state for the divider: the product, its sum over the
    rows, the 1D row's sum, and that over the spans."""
    return 3 + stages(rows) + span_stages(spans)


class AttentionControl(Part):
    """Delays each issue as the PEs, the trees and the 1D row ask.

    Members
    -------
    issue : In
    control, row_control, mask_control : Out, to the columns
    row_busy : Out(1), the 1D row is at work
    final, final_address, final_end : Out, a final state of the queries is written for the dividers; which; it is the
        last one
    sum_spans : Out, with more than one span: the states that the columns write go into sums over the spans
    """

    def __init__(self, format: AttentionFormat, rows: int, spans: int = 1):
        ports = {
            "issue": In(issue_layout(format, spans)),
            "control": Out(PE_CONTROL),
            "row_control": Out(row_control(format, spans)),
            "mask_control": Out(MASK_CONTROL),
            "row_busy": Out(1),
            "final": Out(1),
            "final_address": Out(range(format.max_head + 1)),
            "final_end": Out(1),
        }
        if spans > 1:
            ports["sum_spans"] = Out(1)
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        lines = {}

        def delayed(name, value, cycles):
            """`value` so many cycles later; every cycle of a name is registered once."""
            line = lines.setdefault(name, [value])
            while len(line) <= cycles:
                register = Signal(len(line[-1]), name=f"{name}_{len(line)}")
                m.d.sync += register.eq(line[-1])
                line.append(register)
            return line[cycles]

        issue, pe, row, mask = self.issue, self.control, self.row_control, self.mask_control
        scale = issue.valid & (issue.step == Step.SCALE)
        exp = issue.valid & (issue.step == Step.EXP)
        value = issue.valid & (issue.step == Step.VALUE)
        maximum = PE_LATENCY + stages(self.rows)
        sums = 2 + stages(self.rows)  # a product's tile sum is there: cycle 3 of the 1D row
        m.d.comb += [
            pe.step.eq(issue.step),
            pe.accumulate.eq(delayed("score", issue.valid & (issue.step == Step.SCORE), 2)),
            pe.first.eq(delayed("first", issue.first, 2)),
            pe.scale.eq(delayed("scale", scale, 2)),
            pe.exp.eq(delayed("exp", exp, 2)),
            pe.term.eq(delayed("term", issue.term, 2)),
            pe.difference.eq(delayed("scale", scale, maximum + 1 + merge_delay(self.spans))),
            pe.load.eq(issue.load),
            row.maximum.eq(delayed("scale", scale, maximum)),
            row.fresh.eq(delayed("first", issue.first, maximum)),
            row.difference.eq(delayed("scale", scale, maximum + 1 + merge_delay(self.spans))),
            row.address.eq(delayed("address", issue.address, sums - 3)),
            row.exp.eq(delayed("exp", exp, sums - 2)),
            row.power.eq(delayed("exp", exp, sums)),
            row.term.eq(delayed("term", issue.term, sums)),
            row.write.eq(delayed("value", value, sums + 1)),
            row.write_address.eq(delayed("address", issue.address, sums + 1)),
            row.load.eq(delayed("load", issue.load, sums - 2)),
            mask.position_low.eq(issue.position_low),
            mask.position_high.eq(issue.position_high),
            mask.bounds.eq(delayed("position", issue.position_high, 1)),
            mask.mask.eq(delayed("position", issue.position_high, 2)),
            self.row_busy.eq(delayed("row_busy", exp | value, sums)),
        ]
        if self.spans > 1:
            m.d.comb += row.merge.eq(delayed("merge", scale & issue.merge, maximum + merge_delay(self.spans)))
        self._final_states(m, delayed, value)
        return m

    def _final_states(self, m, delayed, value):
        """The way of the states of the last tile's VALUE steps to the dividers."""
        issue = self.issue
        final = final_delay(self.rows, self.spans)
        m.d.comb += [
            self.final.eq(delayed("final", value & issue.last, final)),
            self.final_address.eq(delayed("address", issue.address, final)),
            self.final_end.eq(delayed("end", value & issue.last & issue.end, final)),
        ]
        if self.spans > 1:
            written = final - span_stages(self.spans)
            m.d.comb += self.sum_spans.eq(delayed("sum_spans", value & issue.merge, written))
