"""From the issue of a step to the control signals of the attention arrays some cycles later."""

from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import Delays
from einloom.hw.part import Part
from einloom.hw.pe.attention_column import MASK_CONTROL
from einloom.hw.pe.attention_mac import DOT_CYCLES, MAC_CONTROL, PRODUCT_CYCLES
from einloom.hw.pe.fusemax import PE_CONTROL, PE_LATENCY, Step
from einloom.hw.pe.online_softmax import row_control
from einloom.hw.pe.reduction import stages
from einloom.hw.pe.serial_exponential import SERIAL_CONTROL, serial_cycles
from einloom.hw.wires import members
from einloom.spec.attention_format import EXP2_STEPS, AttentionFormat


def issue_layout(format: AttentionFormat, spans: int = 1) -> data.StructLayout:
    """A step at work, in the cycle in which the columns have its operands."""
    return data.StructLayout({
        "valid": 1,  # the 2D array is busy
        "step": Step,
        "first": 1,  # SCORE: the first of its dot product; SCALE: of the first tile of its queries
        "term": range(EXP2_STEPS),  # EXP
        "address": range(format.max_head + 1),  # VALUE: of the state
        "last": 1,  # VALUE: of the last tile of its queries
        "end": 1,  # ... and the last of them
        "merge": int(spans > 1),  # SCALE, VALUE: of the last tile of a split job
        "load": 1,  # beside the step, exponentials become probabilities and corrections
        "position_low": 1,  # beside the step, the columns have a word of the queries' positions
        "position_high": 1,
    })


def span_stages(spans: int) -> int:
    """Cycles of a tree over the columns that share a query."""
    return stages(spans) if spans > 1 else 0


def merge_delay(spans: int) -> int:
    """Cycles from a column's running maximum to that of all its query's columns: the tree, and the write."""
    return span_stages(spans) + 1 if spans > 1 else 0


def product_cycles(serial: bool) -> int:
    """Cycles from the issue of a VALUE step to its products."""
    return PRODUCT_CYCLES if serial else 2


def exp_delay(rows: int, spans: int = 1) -> int:
    """Cycles from the issue of SCALE to the first issue of EXP.

    They are those of the score, of its maximum (over the rows, with the running one, over the spans), and of the
    difference.
    """
    return PE_LATENCY + stages(rows) + 2 + merge_delay(spans)


def final_delay(rows: int, spans: int = 1, serial: bool = False) -> int:
    """Cycles from the issue of a VALUE step to the write of its state for the divider.

    They are those of the product, of its sum over the rows, of the 1D row's sum, and of the sum over the spans.
    """
    return product_cycles(serial) + 1 + stages(rows) + span_stages(spans)


SERIAL_START = DOT_CYCLES - 1 - PE_LATENCY
"""Cycles from the issue of SCALE, PE_LATENCY behind the last SCORE, to the one before the dot products are there."""


def serial_delay(rows: int) -> int:
    """Cycles from the issue of SCALE until a SerialExponential has written all probabilities."""
    return SERIAL_START + serial_cycles(rows)


class AttentionControl(Part):
    """Delays each issue into the control of the PEs, the 1D row and the dividers. Throughput: an issue every cycle.

    Latency: none for `step`, 2 cycles for the PEs' sums; `exp_delay` - 1 for `difference`, `final_delay` for `final`.

    Members
    -------
    issue : In
    control, row_control, mask_control : Out, to the columns
    serial_control : Out, to those with `serial` exponentials
    row_busy : Out(1), the 1D row is at work
    final, final_address, final_end : Out, a final state is written for the dividers; its address; it is the last one
    sum_spans : Out, with more than one span: the written states are summed over the spans
    """

    def __init__(self, format: AttentionFormat, rows: int, spans: int = 1, serial: bool = False):
        super().__init__({
            "issue": In(issue_layout(format, spans)),
            "control": Out(MAC_CONTROL if serial else PE_CONTROL),
            **({"serial_control": Out(SERIAL_CONTROL)} if serial else {}),
            "row_control": Out(row_control(format, spans)),
            "mask_control": Out(MASK_CONTROL),
            **members(Out, "row_busy", "final"),
            "final_address": Out(range(format.max_head + 1)),
            **members(Out, "final_end", *(["sum_spans"] if spans > 1 else [])),
        })

    def build(self, m, platform):
        issue, row, mask = self.issue, self.row_control, self.mask_control
        scale = issue.valid & (issue.step == Step.SCALE)
        exp = issue.valid & (issue.step == Step.EXP)
        value = issue.valid & (issue.step == Step.VALUE)
        values = {
            "score": issue.valid & (issue.step == Step.SCORE),
            "scale": scale,
            "exp": exp,
            "value": value,
            "busy": exp | value,
            "merge": scale & issue.merge if self.spans > 1 else None,
            "sum_spans": value & issue.merge if self.spans > 1 else None,
            "final": value & issue.last,
            "end": value & issue.last & issue.end,
            **{name: issue[name] for name in ("first", "term", "address", "load", "position_high")},
        }
        at = Delays(m, values, resets=values).at
        maximum = PE_LATENCY + stages(self.rows)
        difference = maximum + 1 + merge_delay(self.spans)
        sums = product_cycles(self.serial) + stages(self.rows)  # a product's tile sum is there: cycle 3 of the 1D row
        final = final_delay(self.rows, self.spans, self.serial)
        if self.serial:
            self._drive_serial(m, at)
        else:
            self._drive_pes(m, at, difference)
        m.d.comb += [
            row.maximum.eq(at("scale", maximum)),
            row.fresh.eq(at("first", maximum)),
            row.difference.eq(at("scale", difference)),
            row.address.eq(at("address", sums - 3)),
            row.exp.eq(at("exp", sums - 2)),
            row.power.eq(at("exp", sums)),
            row.term.eq(at("term", sums)),
            row.write.eq(at("value", sums + 1)),
            row.write_address.eq(at("address", sums + 1)),
            row.load.eq(at("load", sums - 2)),
            mask.position_low.eq(issue.position_low),
            mask.position_high.eq(issue.position_high),
            mask.bounds.eq(at("position_high", 1)),
            mask.mask.eq(at("position_high", 2)),
            self.row_busy.eq(at("busy", sums)),
            self.final.eq(at("final", final)),
            self.final_address.eq(at("address", final)),
            self.final_end.eq(at("end", final)),
        ]
        if self.spans > 1:
            m.d.comb += [
                row.merge.eq(at("merge", maximum + merge_delay(self.spans))),
                self.sum_spans.eq(at("sum_spans", final - span_stages(self.spans))),
            ]

    def _drive_pes(self, m, at, difference):
        """Control of FuseMaxPEs."""
        issue, pe = self.issue, self.control
        m.d.comb += [
            pe.step.eq(issue.step),
            pe.accumulate.eq(at("score", 2)),
            pe.first.eq(at("first", 2)),
            pe.scale.eq(at("scale", 2)),
            pe.exp.eq(at("exp", 2)),
            pe.term.eq(at("term", 2)),
            pe.difference.eq(at("scale", difference)),
            pe.load.eq(issue.load),
        ]

    def _drive_serial(self, m, at):
        """Control of AttentionMacs and of SerialExponential."""
        mac, serial = self.control, self.serial_control
        m.d.comb += [
            mac.value.eq(at("value", 0)),
            mac.load.eq(self.issue.load),
            mac.restart.eq(at("value", 3) | at("first", 3)),
            mac.enable.eq(at("value", 4) | at("score", 4)),
            mac.score.eq(at("score", 5)),
            serial.scale.eq(at("scale", 0)),
            serial.fresh.eq(at("first", 0)),
            serial.start.eq(at("scale", SERIAL_START)),
        ]
