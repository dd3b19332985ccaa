"""A multiplier of the attention array that leaves exponentials to its column."""

from amaranth import Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import registered
from einloom.hw.arith.dsp48e2 import OPERAND_CYCLES, Dsp48e2
from einloom.hw.part import Part
from einloom.spec.attention_format import PROBABILITY_BITS, QUERY_BITS, AttentionFormat

# Control of all multipliers; the number is the cycle of a field, behind a step's issue in cycle 0.
MAC_CONTROL = data.StructLayout({
    "value": 1,  # 0: the step is a VALUE
    "load": 1,  # 0: the probabilities that were written become those of the VALUE steps that follow
    "restart": 1,  # 3: the product is not added to the sum so far: a VALUE, or the first of a dot product
    "enable": 1,  # 4: there is a step
    "score": 1,  # 5: it was a SCORE
})
PRODUCT_CYCLES = OPERAND_CYCLES + 2  # from a step's issue to its product: a register before the DSP, and the DSP
DOT_CYCLES = PRODUCT_CYCLES + 1  # from the issue of a dot product's last step to the dot product


class AttentionMac(Part):
    """Computes for one key and one query the dot product qk, then the probability's products with the key's values.

    One DSP48E2 does both, and takes no LUT: its pre-adder subtracts, so the query and the probability have a port each,
    of which the other is 0, and the probability comes with its sign inverted. The sum so far is the DSP's own.
    Throughput: a step every cycle. Latency: PRODUCT_CYCLES, DOT_CYCLES.
    Source: FuseMax (MICRO 2024), section V, whose PEs compute exponentials as well (FuseMaxPE).

    Members
    -------
    query : In, the column's element of Q; 0 in a VALUE step
    row : In, the row's element of K or V
    negated : In, a probability with its sign inverted, with `write`
    write : In(1), it is this key's
    control : In
    dot : Out, qk, up to the first step of the next dot product
    product : Out
    """

    def __init__(self, format: AttentionFormat):
        super().__init__({
            "query": In(signed(QUERY_BITS)),
            "row": In(signed(format.input_bits)),
            "negated": In(signed(PROBABILITY_BITS)),
            "write": In(1),
            "control": In(MAC_CONTROL),
            "dot": Out(signed(format.qk_bits)),
            "product": Out(signed(format.product_bits)),
        })

    def build(self, m, platform):
        control = self.control
        dsp = Dsp48e2(cascaded=False, accumulates=True, constant=0).place(m, "dsp", platform)
        written, held, active = (
            Signal(signed(PROBABILITY_BITS), name=name, reset_less=True) for name in ("written", "held", "active")
        )
        with m.If(self.write):
            m.d.sync += written.eq(self.negated)
        with m.If(control.load):
            m.d.sync += held.eq(written)
        m.d.sync += active.eq(Mux(control.value, held, 0))
        m.d.comb += [
            dsp.a.eq(active),
            dsp.d.eq(registered(m, "query_1", self.query)),
            dsp.b.eq(registered(m, "row_1", self.row)),
            dsp.restart.eq(control.restart),
            dsp.enable.eq(control.enable),
            self.product.eq(dsp.p),
        ]
        with m.If(control.score):
            m.d.sync += self.dot.eq(dsp.p)
