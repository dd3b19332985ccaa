"""Columns of FuseMax that can share a query: each has a span of its keys."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.pe.attention_column import MASK_CONTROL, AttentionColumn, tile_layout
from einloom.hw.pe.fusemax import PE_CONTROL
from einloom.hw.pe.normaliser import divider_control
from einloom.hw.pe.online_softmax import row_control
from einloom.hw.pe.reduction import Reduction, stages
from einloom.hw.replicated import Replicated
from einloom.spec.attention_format import OUTPUT_BITS, QUERY_BITS, SCORE_BITS, AttentionFormat


class SpanGroup(Part):
    """RM = max over the spans of RM[s], and state[f] = sum over the spans of state[s, f], of `spans` columns.

    Partial states of sets of keys merge by taking them relative to the larger maximum and adding them (LeanAttention).
    Here the maxima are merged before the last tile's exponentials: each column corrects its states to the merged RM as
    it does for any tile, and its last probabilities are relative to it already. So what is left of merging is a sum,
    on the way to the dividers, and it costs no step of any array and one rounding less.

    The sum has the width of a state: a key is in one span, so all spans together have at most max_keys of them, which
    is what AttentionFormat.state_bits counts; a span without visible keys has states of 0, and MASKED for a maximum.
    Latency: stages(spans) for the maximum and for the sum, 1 more for a column to take the maximum.

    Members
    -------
    query : In, a word for each column, column 0 lowest
    row : In, the row operand of each span
    tile : In, the tile of each span
    sum_spans : In(1), with a state that the columns write: it goes into the sum, which is column 0's final state. Else,
        and in other columns, a final state is the column's own.
    control, row_control, mask_control, divider_control : In
    result : Out, as Divider, of each column
    """

    def __init__(self, format: AttentionFormat, rows: int, digits: int, spans: int):
        super().__init__({
            "query": In(spans * QUERY_BITS),
            "row": In(spans * rows * format.input_bits),
            "control": In(PE_CONTROL),
            "row_control": In(row_control(format, spans)),
            "mask_control": In(MASK_CONTROL),
            "divider_control": In(divider_control(format)),
            "tile": In(data.ArrayLayout(tile_layout(format, rows, spans), spans)),
            "sum_spans": In(1),
            "result": Out(spans * OUTPUT_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        sliced = ("query", "row", "tile", "result", "maximum", "state", "final_state")
        column = AttentionColumn(self.format, self.rows, self.digits, self.spans)
        columns = Replicated(column, self.spans, sliced=sliced).place(m, "columns", platform)
        maxima = Reduction("max", SCORE_BITS, self.spans).place(m, "maxima", platform)
        m.d.comb += [
            columns.query.eq(self.query),
            columns.row.eq(self.row),
            columns.control.eq(self.control),
            columns.row_control.eq(self.row_control),
            columns.mask_control.eq(self.mask_control),
            columns.divider_control.eq(self.divider_control),
            columns.tile.eq(self.tile.as_value()),
            maxima.values.eq(columns.maximum),
            columns.merged_maximum.eq(maxima.result),
            columns.final_state.eq(self._final_states(m, columns.state, platform)),
            self.result.eq(columns.result),
        ]
        return m

    def _final_states(self, m, states, platform):
        """What goes to the dividers, stages(spans) cycles after the columns write it."""
        bits = self.format.state_bits
        sums = Reduction("add", bits, self.spans).place(m, "sums", platform)
        own, *others = (states.word_select(s, bits) for s in range(self.spans))
        m.d.comb += sums.values.eq(Cat(own, *(Mux(self.sum_spans, other, 0) for other in others)))
        for stage in range(stages(self.spans)):
            delayed = Signal(len(Cat(others)), name=f"state_{stage}", reset_less=True)
            m.d.sync += delayed.eq(Cat(others))
            others = [delayed]
        return Cat(sums.result[:bits], *others)
