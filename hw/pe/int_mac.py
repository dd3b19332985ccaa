"""The processing element everyone knows: int8 times int8 into an accumulator."""

from dataclasses import dataclass

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data

from einloom.hw.arith.trees import add_tree
from einloom.hw.arith.widths import signed_bits
from einloom.hw.part import Part
from einloom.hw.pe.column import CodeColumn
from einloom.hw.pe.ports import add_drain, pe_ports
from einloom.hw.pe.timing import Timing
from einloom.spec.formats import Format

LIMIT = 1 << 7  # |int8|


@dataclass(frozen=True)
class IntMacSpec:
    """Size of a plain int8 PE: `lanes` products a cycle, dot products of up to `max_inputs`."""

    lanes: int
    max_inputs: int

    activation_bits = 8
    exponent_bits = 0
    exponent_bias = 0
    timing = Timing(accumulate=2, capture=3, align=0, scale_bits=0)
    lookup = None

    @property
    def operand_bits(self) -> int:
        """Of the column's operand, one int8 weight per lane."""
        return 8 * self.lanes

    @property
    def dot_bits(self) -> int:
        return signed_bits(self.lanes * LIMIT * LIMIT)

    @property
    def value_bits(self) -> int:
        """Of a whole dot product."""
        return signed_bits(self.max_inputs * LIMIT * LIMIT)

    @property
    def sum_bits(self) -> int:
        return self.value_bits

    def shifts(self, format: Format) -> tuple[int, ...]:
        return (0,)

    def part(self) -> "IntMacPE":
        return IntMacPE(self)

    def column(self, formats: tuple[Format, ...]) -> CodeColumn:
        return CodeColumn(*formats, self.lanes)

    def row(self) -> None:
        return None

    def prepare(self) -> None:
        return None


class IntMacPE(Part):
    """sum = sum over k of activation[k] * weight[k], `lanes` a cycle, exactly.

    Written as (first ? 0 : sum) + product, the form that fits a DSP48E2. Members as `BitmodPE`, with int8 weights as
    the operand and no scale.
    """

    def __init__(self, spec: IntMacSpec):
        lanes = data.ArrayLayout(signed(8), spec.lanes)
        super().__init__(pe_ports(spec, lanes, lanes))

    def elaborate(self, platform):
        m = Module()
        spec, control = self.spec, self.control
        dot = Signal(signed(spec.dot_bits), reset_less=True)
        total = Signal(signed(spec.value_bits), reset_less=True)

        m.d.sync += dot.eq(add_tree(a * w for a, w in zip(self.activations, self.operand, strict=True)))
        with m.If(control.accumulate):
            m.d.sync += total.eq(Mux(control.first, 0, total) + dot)
        add_drain(m, self, total)
        return m
