"""A processing element that adds, subtracts and doubles, and its spec."""

from dataclasses import dataclass

from amaranth import Mux, Signal, signed
from amaranth.lib import data

from einloom.hw.arith.trees import add_tree
from einloom.hw.arith.widths import signed_bits
from einloom.hw.part import Part
from einloom.hw.pe.column import CodeColumn
from einloom.hw.pe.ports import add_drain, pe_ports
from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.timing import Timing
from einloom.spec.config import Config
from einloom.spec.formats import Format

LARGEST_PRODUCT = 2 << 7  # -2 times -128


@dataclass(frozen=True)
class AddSubSpec(PeSpec):
    """Size of the PE: `lanes` products a cycle, dot products of up to `max_inputs`."""

    lanes: int
    max_inputs: int

    activation_bits = 8
    timing = Timing(accumulate=2, capture=3, align=0, scale_bits=0)

    @property
    def operand_bits(self) -> int:
        """Width of the column's operand: a 2-bit code per lane."""
        return 2 * self.lanes

    @property
    def dot_bits(self) -> int:
        return signed_bits(self.lanes * LARGEST_PRODUCT)

    @property
    def value_bits(self) -> int:
        """Width of a whole dot product."""
        return signed_bits(self.max_inputs * LARGEST_PRODUCT)

    def shifts(self, format: Format) -> tuple[int, ...]:
        return (0,)

    def part(self) -> "AddSubPE":
        return AddSubPE(self)

    def column(self, formats: tuple[Format, ...]) -> CodeColumn:
        return CodeColumn(*formats, self.lanes)


class AddSubPE(Part):
    """sum = sum over k of activation[k] * weight[k], exactly, for weights -2, -1, 0 and 1.

    Throughput: `lanes` products a cycle. Latency: `Timing`.

    A code's bits are b1 b0 in two's complement, so weight * a = (b0 ? a : 0) - (b1 ? 2a : 0). Ports as IntMacPE has
    them; the operand is the codes.
    """

    def __init__(self, spec: AddSubSpec):
        super().__init__(pe_ports(spec, data.ArrayLayout(signed(8), spec.lanes), data.ArrayLayout(2, spec.lanes)))

    def build(self, m, platform):
        spec, control = self.spec, self.control
        dot = Signal(signed(spec.dot_bits), reset_less=True)
        total = Signal(signed(spec.value_bits), reset_less=True)
        products = [
            Mux(code[0], a, 0) - Mux(code[1], a << 1, 0) for a, code in zip(self.activations, self.operand, strict=True)
        ]
        m.d.sync += dot.eq(add_tree(products))
        with m.If(control.accumulate):
            m.d.sync += total.eq(Mux(control.first, 0, total) + dot)
        add_drain(m, self, total)


def pe_spec(config: Config) -> AddSubSpec:
    """The PE of a config."""
    return AddSubSpec(lanes=config.gemm.lanes, max_inputs=config.gemm.max_inputs)
