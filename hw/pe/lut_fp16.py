"""The processing element that multiplies fp16 activations by table look-up."""

from dataclasses import dataclass, replace

from amaranth import Cat
from amaranth.lib import data

from einloom.hw.arith.fp16 import ALIGN_BITS, FP16, UNIT_EXPONENT
from einloom.hw.part import Part
from einloom.hw.pe.aligned_tables import (
    EXPONENT_BITS,
    LIMIT,
    AlignedTables,
    aligned_cycles,
    aligned_layout,
    match_cycles,
)
from einloom.hw.pe.lut import LutPE, LutSpec
from einloom.hw.pe.ports import add_dequantiser, add_drain
from einloom.hw.pe.timing import Timing


@dataclass(frozen=True)
class LutFp16Spec(LutSpec):
    """Size of a look-up PE for fp16 activations.

    The widths follow from the largest aligned activation as those of LutSpec from int8: a sum that is divided and
    rounded down stays within its bound.
    """

    activation_bits = FP16.size
    limit = LIMIT
    exponent_bits = EXPONENT_BITS
    exponent_bias = UNIT_EXPONENT + ALIGN_BITS

    @property
    def row_cycles(self) -> int:
        return aligned_cycles(self.lanes) + self.table_cycles

    @property
    def timing(self) -> Timing:
        return replace(super().timing, enter=1 + match_cycles(self.lanes))

    @property
    def shared(self) -> data.StructLayout:
        return aligned_layout(self.tables, self.group is not None)

    def part(self) -> "LutFp16PE":
        return LutFp16PE(self)

    def row(self) -> Part:
        return AlignedTables(self)


class LutFp16PE(LutPE):
    """LutPE for fp16 activations. Its row has aligned them to integers, and says how far to shift sums (AlignedTables).

    Definition, for one output (sim/golden/lut_fp16.py computes it), with E(s) and the integers of AlignedTables:

    1. A group's sum starts as 0. With step s of a dot product a sum g becomes
       floor(g / 2^(E(s) - E(s - 1))) + the exact sum over the step's lanes of integer * weight.
       With rounded entries the latter is the sum of the tables' values, and where E(s) = E(s - 1) a half in g stays.
    2. The output starts as 0. With a group of scale q that ends with step s, and one before that ended with step r, an
       output v becomes floor(v / 2^(E(s) - E(r))) + q * g. It means v * 2^(E(last step) - 28).

    Without group scales the output is the sum of a single group. E is 0 before the first step. A step raises the
    exponent in its first plane. Before that a sum of exact entries is whole, so its fraction needs no shift.

    Throughput and latency as LutPE, whose tables come `LutSpec.row_cycles` after the activations. Source: LUT Tensor
    Core (ISCA 2025), section III, takes fp16 activations; aligning them, so that tables are integers, is ours.
    """

    @property
    def tables(self):
        return self.activations.tables

    def _moved_down(self, group_sum):
        fraction, shift = self.spec.fraction, self.activations.sum_shift
        half = group_sum[:fraction]
        if self.spec.rounded:
            half &= (~shift.any()).replicate(fraction)
        return Cat(half, group_sum[fraction:].as_signed() >> shift).as_signed()

    def _finish(self, m, group_sum):
        value = group_sum
        if self.spec.group is not None:
            value = add_dequantiser(m, self, group_sum, self.activations.total_shift)
        add_drain(m, self, Cat(value, self.activations.exponent))
