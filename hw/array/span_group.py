"""Columns of FuseMax that can share a query, each with a span of its keys."""

from amaranth import Cat, Mux
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.part import Part
from einloom.hw.pe.attention_column import MASK_CONTROL, AttentionColumn, tile_layout
from einloom.hw.pe.fusemax import PE_CONTROL
from einloom.hw.pe.normaliser import divider_control
from einloom.hw.pe.online_softmax import row_control
from einloom.hw.pe.reduction import Reduction, stages
from einloom.hw.replicated import Replicated
from einloom.hw.wires import feed
from einloom.spec.attention_format import OUTPUT_BITS, QUERY_BITS, SCORE_BITS, AttentionFormat


class SpanGroup(Part):
    """`spans` columns and their merger: RM = max over s of RM[s], and state[f] = sum over s of state[s, f].

    LeanAttention merges partial states of sets of keys by taking them relative to the larger maximum and adding them.
    Here the maxima are merged before the last tile's exponentials. Each column corrects its states to the merged RM as
    for any tile, and its last probabilities are relative to it. So merging is only a sum on the way to the dividers: it
    costs no step of any array, and one rounding less.

    The sum has the width of a state: each key is in one span, so all spans together have at most max_keys keys, which
    AttentionFormat.state_bits counts. A span without visible keys has states of 0 and MASKED for a maximum.
    Throughput: that of AttentionColumn. Latency: stages(spans) cycles more for the maximum and for the sum, and 1 for a
    column to take the maximum.

    Members
    -------
    query : In, a word for each column, column 0 lowest
    row : In, the row operand of each span
    tile : In, the tile of each span
    sum_spans : In(1), in the cycle of a state's write: column 0's final state is the sum. Otherwise, and in other
        columns, a final state is the column's own.
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

    def build(self, m, platform):
        sliced = ("query", "row", "tile", "result", "maximum", "state", "final_state")
        column = AttentionColumn(self.format, self.rows, self.digits, self.spans)
        columns = Replicated(column, self.spans, sliced=sliced).place(m, "columns", platform)
        maxima = Reduction("max", SCORE_BITS, self.spans).place(m, "maxima", platform)
        feed(m, self, columns, "query", "row", "control", "row_control", "mask_control", "divider_control")
        m.d.comb += [
            columns.tile.eq(self.tile.as_value()),
            maxima.values.eq(columns.maximum),
            columns.merged_maximum.eq(maxima.result),
            columns.final_state.eq(self._final_states(m, columns.state, platform)),
            self.result.eq(columns.result),
        ]

    def _final_states(self, m, states, platform):
        """The states for the dividers, stages(spans) cycles after the columns write them."""
        bits = self.format.state_bits
        sums = Reduction("add", bits, self.spans).place(m, "sums", platform)
        own, *others = (states.word_select(s, bits) for s in range(self.spans))
        m.d.comb += sums.values.eq(Cat(own, *(Mux(self.sum_spans, other, 0) for other in others)))
        return Cat(sums.result[:bits], delayed(m, "state", Cat(others), stages(self.spans)))
