"""The plain processing element: int8 times int8 into an accumulator."""

from dataclasses import dataclass

from amaranth import Mux, Signal, signed
from amaranth.lib import data

from einloom.hw.arith.delay import registered
from einloom.hw.arith.trees import add_tree
from einloom.hw.arith.widths import INT8_LIMIT, signed_bits
from einloom.hw.part import Part
from einloom.hw.pe.column import CodeColumn
from einloom.hw.pe.ports import add_drain, pe_ports
from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.timing import Timing
from einloom.spec.formats import Format


@dataclass(frozen=True)
class IntMacSpec(PeSpec):
    """Size of a plain int8 PE: `lanes` products a cycle, dot products of up to `max_inputs`."""

    lanes: int
    max_inputs: int

    activation_bits = 8
    timing = Timing(accumulate=2, capture=3, align=0, scale_bits=0)

    @property
    def operand_bits(self) -> int:
        """One int8 weight per lane."""
        return 8 * self.lanes

    @property
    def dot_bits(self) -> int:
        return signed_bits(self.lanes * INT8_LIMIT * INT8_LIMIT)

    @property
    def value_bits(self) -> int:
        """Width of a whole dot product."""
        return signed_bits(self.max_inputs * INT8_LIMIT * INT8_LIMIT)

    def shifts(self, format: Format) -> tuple[int, ...]:
        return (0,)

    def part(self) -> "IntMacPE":
        return IntMacPE(self)

    def column(self, formats: tuple[Format, ...]) -> CodeColumn:
        return CodeColumn(*formats, self.lanes)


class IntMacPE(Part):
    """sum = sum over k of activation[k] * weight[k], exactly. Throughput: `lanes` products a cycle. Latency: `Timing`.

    Written as (first ? 0 : sum) + product, the form that fits a DSP48E2. Members as `BitmodPE`, with int8 weights as
    the operand and no scale.
    """

    def __init__(self, spec: IntMacSpec):
        lanes = data.ArrayLayout(signed(8), spec.lanes)
        super().__init__(pe_ports(spec, lanes, lanes))

    def build(self, m, platform):
        spec, control = self.spec, self.control
        total = Signal(signed(spec.value_bits), reset_less=True)
        products = add_tree(a * w for a, w in zip(self.activations, self.operand, strict=True))
        dot = registered(m, "dot", products, signed(spec.dot_bits))
        with m.If(control.accumulate):
            m.d.sync += total.eq(Mux(control.first, 0, total) + dot)
        add_drain(m, self, total)
