"""The grid of PEs: rows of PEs, and a grid of rows."""

from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import registered
from einloom.hw.part import Part
from einloom.hw.pe.spec import PeSpec, stored_bits
from einloom.hw.pe.timing import CONTROL
from einloom.hw.replicated import Replicated
from einloom.hw.wires import feed

CHAIN = ("drain_in", "drain_out")


class PeRow(Part):
    """The PEs of `columns` columns. They share the activations of one token, or what the spec's row part makes of them;
    those of `PeSpec.tokens_per_pe` tokens.

    Throughput: that of the PEs. Latency: 1 cycle for the activations, which are registered at the row's edge, and that
    of the row part and the PEs.

    Members
    -------
    activations : In, a step of the row's token: `lanes` activations, or what the spec prepares of them
    operand, scale_bit : In, one per column, column 0 lowest
    control : In(CONTROL)
    drain_in, drain_out : the results of the row below, and of this row
    """

    def __init__(self, spec: PeSpec, columns: int):
        super().__init__({
            "activations": In(spec.tokens_per_pe * stored_bits(spec)),
            "operand": In(columns * spec.operand_bits),
            "scale_bit": In(columns),
            "control": In(CONTROL),
            "drain_in": In(columns * spec.sum_bits),
            "drain_out": Out(columns * spec.sum_bits),
        })

    def build(self, m, platform):
        activations = registered(m, "activations", self.activations)
        has_scales = self.spec.timing.scale_bits > 0
        sliced = ("operand", *CHAIN, *(["scale_bit"] if has_scales else []))
        count = self.columns // self.spec.columns_per_pe
        pes = Replicated(self.spec.part(), count, sliced=sliced).place(m, "pes", platform)
        shared = activations
        row = self.spec.row()
        if row is not None:
            row.place(m, "row", platform)
            m.d.comb += row.activations.eq(activations)
            shared = row.shared
            if "control" in row.signature.members:
                m.d.comb += row.control.eq(self.control)
        m.d.comb += pes.activations.eq(shared)
        feed(m, self, pes, "operand", "control", "drain_in", *(["scale_bit"] if has_scales else []))
        feed(m, pes, self, "drain_out")


def pe_grid(spec: PeSpec, rows: int, columns: int) -> Replicated:
    """`rows` tokens: operands broadcast down the columns, activations sliced to rows, results drained up to row 0."""
    return Replicated(PeRow(spec, columns), rows // spec.tokens_per_pe, sliced=("activations",), chain=CHAIN)
