"""The end of a chain that multiplies by the group scale in a DSP."""

from amaranth import Const, unsigned
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import registered
from einloom.hw.arith.dsp48e2 import A_BITS, OPERAND_CYCLES, Dsp48e2
from einloom.hw.part import Part
from einloom.hw.pe.ports import add_drain
from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.timing import CONTROL
from einloom.spec.formats import SCALE_BITS

SCALING_CYCLES = OPERAND_CYCLES + 1
"""Cycles from a step's sum to the total that has it."""


class DspScaler(Part):
    """sum = sum over steps of scale * step_sum, in one DSP; for each field of a chain.

    A group may be one step long, since every step is multiplied by its group's scale. Throughput: a step a cycle.
    Latency: SCALING_CYCLES; `control.accumulate` is there OPERAND_CYCLES - 1 cycles behind the sum.

    Parameters
    ----------
    spec : the PE's.
    sum_bits : width of `step_sum`.
    bias : the step sum is this number minus the sum that is meant; None where it is the sum itself, signed.

    Members
    -------
    step_sum, scale : In, a step's sum and its group's scale
    control, drain_in, drain_out : of a PE, for this field
    """

    def __init__(self, spec: PeSpec, sum_bits: int, bias: int | None):
        super().__init__({
            "step_sum": In(unsigned(sum_bits)),
            "scale": In(SCALE_BITS),
            "control": In(CONTROL),
            "drain_in": In(spec.sum_bits),
            "drain_out": Out(spec.sum_bits),
        })

    def build(self, m, platform):
        dsp = Dsp48e2(cascaded=False, accumulates=True, constant=0).place(m, "dsp", platform)
        if self.bias is None:
            m.d.comb += [dsp.a.eq(0), dsp.d.eq(self.step_sum.as_signed())]
        else:
            m.d.comb += [dsp.a.eq(self.step_sum), dsp.d.eq(Const(self.bias, A_BITS))]
        m.d.comb += [
            dsp.b.eq(self.scale),
            dsp.enable.eq(registered(m, "enable", self.control.accumulate)),
            dsp.restart.eq(self.control.first),
        ]
        add_drain(m, self, dsp.p[: self.spec.value_bits])
