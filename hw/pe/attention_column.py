"""A column of FuseMax: one query against the keys of a tile."""

from amaranth import Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.parity import corrupt_port
from einloom.hw.part import Part
from einloom.hw.pe.fusemax import PE_CONTROL, FuseMaxPE
from einloom.hw.pe.normaliser import Divider, divider_control
from einloom.hw.pe.online_softmax import OnlineSoftmax, row_control
from einloom.hw.pe.reduction import Reduction
from einloom.hw.replicated import Replicated
from einloom.hw.wires import feed
from einloom.spec.attention_format import OUTPUT_BITS, QUERY_BITS, SCORE_BITS, AttentionFormat


def tile_layout(format: AttentionFormat, rows: int, spans: int = 1) -> data.StructLayout:
    """Place of a tile, and the mask of its job.

    The first of `spans` neighbouring tiles has a key that may be visible, so it starts below max_keys. The last one
    starts `spans` - 1 tiles later.
    """
    position = format.position_bits
    return data.StructLayout({
        "base": max(position, (format.max_keys - 1 + (spans - 1) * rows).bit_length()),  # of the tile's row 0
        "keys": position,
        "causal": 1,
        "window": position,  # 0 for none
        "sink_rows": range(rows + 1),  # rows that are sinks
    })


# Control of all columns' masks; the query's words come with the first two.
MASK_CONTROL = data.StructLayout({"position_low": 1, "position_high": 1, "bounds": 1, "mask": 1})


class TileMask(Part):
    """Finds the visible rows of a tile for one query, as einloom.spec.attention_format.Mask defines them.

    The rows of a window, of the causal part and of the sinks are each a range. So a column computes two bounds, and
    each PE gets only a mask bit. Throughput: a tile every two cycles, those of the query's words. Latency: 3 cycles
    from the last word: `bounds` one cycle behind it, `mask` one later, and its register.

    Members
    -------
    query : In, a word of the query's position, low word first
    tile : In, stable from the first word to the next tile's first word
    visible : Out, one bit per row, one cycle after `mask`
    """

    def __init__(self, format: AttentionFormat, rows: int, spans: int = 1):
        super().__init__({
            "query": In(QUERY_BITS),
            "tile": In(tile_layout(format, rows, spans)),
            "control": In(MASK_CONTROL),
            "visible": Out(rows),
        })

    def build(self, m, platform):
        tile, control, bits = self.tile, self.control, self.format.position_bits
        position = Signal(2 * QUERY_BITS, reset_less=True)
        low, high = (Signal(range(self.rows + 1), name=name, reset_less=True) for name in ("low", "high"))
        with m.If(control.position_low):
            m.d.sync += position[:QUERY_BITS].eq(self.query)
        with m.If(control.position_high):
            m.d.sync += position[QUERY_BITS:].eq(self.query)

        limit = Signal(bits)
        start = Signal(signed(bits + 2))
        p = position[:bits]
        m.d.comb += [
            limit.eq(Mux(tile.causal & (p < tile.keys), p + 1, tile.keys)),
            start.eq(Mux(tile.window == 0, 0, p + 1 - tile.window)),
        ]
        with m.If(control.bounds):
            m.d.sync += [low.eq(self._row(start - tile.base)), high.eq(self._row(limit - tile.base))]

        def below(bound):
            return ((1 << bound) - 1)[: self.rows]

        with m.If(control.mask):
            m.d.sync += self.visible.eq(below(high) & (~below(low) | below(tile.sink_rows)))

    def _row(self, offset):
        return Mux(offset < 0, 0, Mux(offset > self.rows, self.rows, offset))


class AttentionColumn(Part):
    """A column of the array: `rows` PEs, the trees over them, the 1D PE and the divider.

    Throughput: a step every cycle. Latency: PE_LATENCY + stages(rows) + 1 cycles from a SCALE step to the maximum, 3 +
    stages(rows) from a VALUE step to the state's write; then Divider's.

    Members
    -------
    query : In, a word of the column's query
    row : In, an element of each row's key or value, row 0 lowest
    control, row_control, mask_control, divider_control, tile : In
    result : Out, as Divider
    maximum, merged_maximum, state : Out, In, Out, with more than one span: as OnlineSoftmax
    final_state : In, with more than one span: the state for the divider
    corrupt : Out(1), with `parity` only: a state lost a bit
    """

    def __init__(self, format: AttentionFormat, rows: int, digits: int, spans: int = 1, parity: bool = False):
        ports = {
            "query": In(signed(QUERY_BITS)),
            "row": In(rows * format.input_bits),
            "control": In(PE_CONTROL),
            "row_control": In(row_control(format, spans)),
            "mask_control": In(MASK_CONTROL),
            "divider_control": In(divider_control(format)),
            "tile": In(tile_layout(format, rows, spans)),
            "result": Out(signed(OUTPUT_BITS)),
            **corrupt_port(parity),
        }
        if spans > 1:
            ports |= {
                "maximum": Out(signed(SCORE_BITS)),
                "merged_maximum": In(signed(SCORE_BITS)),
                "state": Out(signed(format.state_bits)),
                "final_state": In(signed(format.state_bits)),
            }
        super().__init__(ports)

    def build(self, m, platform):
        format, rows = self.format, self.rows
        sliced = ("row", "visible", "score", "product")
        pes = Replicated(FuseMaxPE(format), rows, sliced=sliced).place(m, "pes", platform)
        mask = TileMask(format, rows, self.spans).place(m, "mask", platform)
        scores = Reduction("max", pes.slice_bits("score"), rows).place(m, "scores", platform)
        products = Reduction("add", format.product_bits, rows).place(m, "products", platform)
        softmax = OnlineSoftmax(format, products.result_bits, self.spans, self.parity).place(m, "softmax", platform)
        divider = Divider(format, self.digits, self.parity).place(m, "divider", platform)
        if self.parity:
            m.d.comb += self.corrupt.eq(softmax.corrupt | divider.corrupt)
        feed(m, self, pes, "query", "row", "control")
        feed(m, self, mask, "query", "tile")
        feed(m, softmax, pes, "maximum")
        feed(m, mask, pes, "visible")
        feed(m, divider, self, "result")
        m.d.comb += [
            mask.control.eq(self.mask_control),
            scores.values.eq(pes.score),
            products.values.eq(pes.product),
            softmax.tile_maximum.eq(scores.result),
            softmax.tile_sum.eq(products.result),
            softmax.control.eq(self.row_control),
            divider.state.eq(self.final_state if self.spans > 1 else softmax.state),
            divider.control.eq(self.divider_control),
        ]
        if self.spans > 1:
            feed(m, softmax, self, "maximum", "state")
            feed(m, self, softmax, "merged_maximum")
