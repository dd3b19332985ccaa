"""The FuseMax processing element: scores, exponentials and weighted values on one multiplier."""

from amaranth import Mux, Signal, signed
from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out

from einloom.hw.arith import exp2
from einloom.hw.arith.delay import registered
from einloom.hw.part import Part
from einloom.hw.wires import choose
from einloom.spec import attention_format as fmt


class Step(enum.Enum, shape=2):
    """The work of a PE's multiplier."""

    SCORE = 0
    """query * key, accumulated"""
    SCALE = 1
    """the dot product * the query's scale"""
    EXP = 2
    """one step of Horner's scheme"""
    VALUE = 3
    """probability * value, into the column's adder tree"""


# Control of all PEs; the number is the cycle of a field, behind a step's issue in cycle 0.
PE_CONTROL = data.StructLayout({
    "step": Step,  # 0
    "accumulate": 1,  # 2: the step was a SCORE
    "first": 1,  # 2: ... and the first of its dot product
    "scale": 1,  # 2: it was a SCALE
    "exp": 1,  # 2: it was an EXP
    "term": range(fmt.EXP2_STEPS),  # 2: which of them
    "difference": 1,  # the column's maximum is up to date: start an exponential
    "load": 1,  # the exponential is complete: it becomes the probability of the VALUE steps that follow
})
PE_LATENCY = 3  # from an issue to the first issue that can use its result


class FuseMaxPE(Part):
    """Computes for one key and one query: qk, then x, then exp2(x - RM), then the products with the key's values.

    Numbers are those of spec/attention_format.py. Output stationary: qk, x and the probability of a (key, query) stay
    here. The probability has a register of its own, so the next tile's scores and exponentials are computed during the
    VALUE steps. Throughput: a step every cycle, on a multiplier of 27 x 18 bits as in a DSP48E2. Latency: steps that
    use each other's results are PE_LATENCY cycles apart; other steps fill the cycles in between.
    Source: FuseMax (MICRO 2024), sections V and VI; there exp takes 6 steps of 16-bit floating point.

    Members
    -------
    query : In, the column's element of Q, or its scale
    row : In, the row's element of K or V
    visible : In(1), 0 masks the key
    maximum : In, RM of the column, with `difference`
    score : Out, x, or MASKED
    product : Out, two cycles after a VALUE step
    """

    def __init__(self, format: fmt.AttentionFormat):
        super().__init__({
            "query": In(signed(fmt.QUERY_BITS)),
            "row": In(signed(format.input_bits)),
            "visible": In(1),
            "maximum": In(signed(fmt.SCORE_BITS)),
            "control": In(PE_CONTROL),
            "score": Out(signed(fmt.SCORE_BITS)),
            "product": Out(signed(format.product_bits)),
        })

    def build(self, m, platform):
        control, format = self.control, self.format
        operand_a = Signal(signed(fmt.OPERAND_BITS), reset_less=True)
        operand_b = Signal(signed(18), reset_less=True)
        qk = Signal(signed(format.qk_bits), reset_less=True)
        power = Signal(signed(fmt.POWER_BITS), reset_less=True)
        probability = Signal(signed(fmt.PROBABILITY_BITS), reset_less=True)
        fraction = Signal(signed(exp2.FRACTION_BITS), reset_less=True)
        exponent = Signal(exp2.EXPONENT_BITS, reset_less=True)

        factors_a = {Step.SCORE: self.query, Step.SCALE: qk >> format.qk_drop, Step.EXP: power, Step.VALUE: probability}
        factors_b = {Step.SCORE: self.row, Step.SCALE: self.query, Step.EXP: fraction, Step.VALUE: self.row}
        choose(m, operand_a, control.step, factors_a, domain="sync")
        choose(m, operand_b, control.step, factors_b, domain="sync")
        product = registered(m, "multiplied", operand_a * operand_b)
        m.d.comb += self.product.eq(product)

        total = Signal(signed(max(fmt.OPERAND_BITS + 18, format.qk_bits) + 1))
        m.d.comb += total.eq(self._addend(m, qk) + product)
        with m.If(control.accumulate):
            m.d.sync += qk.eq(total)
        with m.If(control.scale):
            scaled = total >> fmt.SCALE_SHIFT
            clamped = Mux(
                scaled > fmt.SCORE_LIMIT, fmt.SCORE_LIMIT, Mux(scaled < -fmt.SCORE_LIMIT, -fmt.SCORE_LIMIT, scaled)
            )
            m.d.sync += self.score.eq(Mux(self.visible, clamped, fmt.MASKED))
        with m.If(control.exp):
            m.d.sync += power.eq(total >> fmt.SCORE_FRACTION)
        with m.Elif(control.difference):
            f, n = exp2.split(self.score - self.maximum)
            m.d.sync += [fraction.eq(f), exponent.eq(n), power.eq(exp2.LEADING)]
        with m.If(control.load):
            m.d.sync += probability.eq(Mux(self.visible, exp2.scaled(power, exponent), 0))

    def _addend(self, m, qk):
        """The addend of the product: the sum so far or a coefficient, and a half, so that truncation rounds."""
        control, drop = self.control, self.format.qk_drop
        value = Signal(signed(max(fmt.OPERAND_BITS + 18, self.format.qk_bits)), name="addend")
        with m.If(control.scale):
            m.d.comb += value.eq(1 << (fmt.SCALE_SHIFT - 1))
        with m.Elif(control.exp):
            choose(m, value, control.term, {term: exp2.addend(term) for term in range(fmt.EXP2_STEPS)})
        with m.Else():
            m.d.comb += value.eq(Mux(control.first, (1 << drop) >> 1, qk))
        return value
