"""A column of FuseMax whose exponentials are computed one after the other."""

from amaranth import Mux, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.parity import corrupt_port
from einloom.hw.part import Part
from einloom.hw.pe.attention_column import MASK_CONTROL, TileMask, tile_layout
from einloom.hw.pe.attention_mac import MAC_CONTROL, AttentionMac
from einloom.hw.pe.normaliser import Divider, divider_control
from einloom.hw.pe.online_softmax import OnlineSoftmax, row_control
from einloom.hw.pe.reduction import Reduction
from einloom.hw.pe.serial_exponential import SERIAL_CONTROL, SerialExponential
from einloom.hw.replicated import Replicated
from einloom.hw.wires import feed
from einloom.spec.attention_format import OUTPUT_BITS, QUERY_BITS, AttentionFormat


class SerialColumn(Part):
    """As AttentionColumn, with AttentionMacs in place of FuseMaxPEs, and one SerialExponential for all of them.

    Throughput: a step every cycle, and a tile in as many cycles as SerialExponential takes. Latency: PRODUCT_CYCLES +
    stages(rows) + 1 cycles from a VALUE step to the state's write; then Divider's. Source: as AttentionColumn.

    Members
    -------
    query, row, row_control, mask_control, divider_control, tile, result, corrupt : see AttentionColumn
    control : In, of the multipliers
    serial_control : In, of the exponentials
    """

    def __init__(self, format: AttentionFormat, rows: int, digits: int, parity: bool = False):
        super().__init__({
            "query": In(signed(QUERY_BITS)),
            "row": In(rows * format.input_bits),
            "control": In(MAC_CONTROL),
            "serial_control": In(SERIAL_CONTROL),
            "row_control": In(row_control(format)),
            "mask_control": In(MASK_CONTROL),
            "divider_control": In(divider_control(format)),
            "tile": In(tile_layout(format, rows)),
            "result": Out(signed(OUTPUT_BITS)),
            **corrupt_port(parity),
        })

    def build(self, m, platform):
        format, rows = self.format, self.rows
        sliced = ("row", "write", "dot", "product")
        macs = Replicated(AttentionMac(format), rows, sliced=sliced).place(m, "macs", platform)
        exponential = SerialExponential(format, rows).place(m, "exponential", platform)
        mask = TileMask(format, rows).place(m, "mask", platform)
        products = Reduction("add", format.product_bits, rows).place(m, "products", platform)
        softmax = OnlineSoftmax(format, products.result_bits, parity=self.parity, given=True)
        softmax.place(m, "softmax", platform)
        divider = Divider(format, self.digits, self.parity).place(m, "divider", platform)
        if self.parity:
            m.d.comb += self.corrupt.eq(softmax.corrupt | divider.corrupt)
        feed(m, self, macs, "row", "control")
        feed(m, exponential, macs, "negated", "write")
        feed(m, self, mask, "query", "tile")
        feed(m, mask, exponential, "visible")
        feed(m, exponential, softmax, "correction", "fresh")
        feed(m, divider, self, "result")
        m.d.comb += [
            macs.query.eq(Mux(self.control.value, 0, self.query)),
            mask.control.eq(self.mask_control),
            exponential.dots.eq(macs.dot),
            exponential.scale.eq(self.query),
            exponential.control.eq(self.serial_control),
            products.values.eq(macs.product),
            softmax.tile_sum.eq(products.result),
            softmax.control.eq(self.row_control),
            divider.state.eq(softmax.state),
            divider.control.eq(self.divider_control),
        ]
