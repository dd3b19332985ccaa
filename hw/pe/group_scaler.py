"""The end of a column behind its group sums: the scale, the total, and the way out."""

from amaranth import Cat, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.pe.ports import add_dequantiser, add_drain
from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.timing import CONTROL


class GroupScaler(Part):
    """sum = sum over groups of scale * group_sum, or of its negative; for PEs that serve several columns.

    Throughput: a group in `Timing.block_cycles`. Latency: those of the control signals.

    Parameters
    ----------
    spec : the PE's.
    group_bits : width of a group's sum.
    negated : the group sums have the other sign.
    biased : half of the range of `group_sum` was added to it.

    Members
    -------
    group_sum : In, with `control.capture`
    control, scale_bit, drain_in, drain_out : one column's of a PE
    """

    def __init__(self, spec: PeSpec, group_bits: int, negated: bool, biased: bool = False):
        super().__init__({
            "group_sum": In(signed(group_bits)),
            "control": In(CONTROL),
            "scale_bit": In(1),
            "drain_in": In(spec.sum_bits),
            "drain_out": Out(spec.sum_bits),
        })

    def build(self, m, platform):
        group_sum = self.group_sum
        if self.biased:
            group_sum = Cat(group_sum[:-1], ~group_sum[-1]).as_signed()
        add_drain(m, self, add_dequantiser(m, self, group_sum, negated=self.negated))
