"""BitMoD's processing element for int8 activations."""

from dataclasses import dataclass

from amaranth import Mux, Signal, signed
from amaranth.lib import data

from einloom.hw.arith.delay import registered
from einloom.hw.arith.terms import TERM
from einloom.hw.arith.trees import add_tree
from einloom.hw.arith.widths import INT8_LIMIT, signed_bits
from einloom.hw.part import Part
from einloom.hw.pe.column import BitmodColumn
from einloom.hw.pe.ports import add_dequantiser, add_drain, pe_ports
from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.timing import Timing
from einloom.spec.formats import LARGEST_DIGIT, SCALE_BITS, Format, Term


@dataclass(frozen=True)
class BitSerialSpec(PeSpec):
    """Size of a PE that takes a term of each lane's weight in a cycle.

    Parameters
    ----------
    lanes : activations multiplied at once.
    group : inputs that share a scale.
    max_inputs : longest dot product.
    """

    lanes: int
    group: int
    max_inputs: int

    @property
    def operand_bits(self) -> int:
        """One term per lane."""
        return self.lanes * Term.BITS

    def shifts(self, format: Format) -> tuple[int, ...]:
        return format.bsig

    def column(self, formats: tuple[Format, ...]) -> BitmodColumn:
        return BitmodColumn(formats, self.lanes)


@dataclass(frozen=True)
class BitmodSpec(BitSerialSpec):
    """Size of a bit-serial PE for int8 activations, and the widths that follow.

    Parameters: those of BitSerialSpec, and `max_weight`, the largest magnitude of a weight's integer value.
    """

    max_weight: int

    activation_bits = 8
    timing = Timing(accumulate=2, capture=3, align=0, scale_bits=SCALE_BITS)

    @property
    def dot_bits(self) -> int:
        """Width of the sum of `lanes` products of an activation and a digit."""
        return signed_bits(self.lanes * INT8_LIMIT * LARGEST_DIGIT)

    @property
    def group_bits(self) -> int:
        """Width of a group's sum. The sum of only some terms may wrap; modulo 2^n the complete sum is exact."""
        return signed_bits(self.group * INT8_LIMIT * self.max_weight)

    @property
    def value_bits(self) -> int:
        """Width of a whole dot product with its group scales."""
        return signed_bits(self.max_inputs * INT8_LIMIT * self.max_weight * ((1 << SCALE_BITS) - 1))

    def part(self) -> "BitmodPE":
        return BitmodPE(self)


class BitmodPE(Part):
    """Output-stationary bit-serial multiply-accumulate with a bit-serial dequantiser.

        group_sum = sum over the group's weights k and their terms t of
                    activation[k] * (-1)^sign[k,t] * man[k,t] * 2^(exp[k,t] + bsig[t])
        sum       = sum over groups of scale * group_sum

    Every number is an exact integer. Throughput: `lanes` weights every `terms per weight` cycles. A group's scaling
    takes 8 cycles, one per scale bit, beside the next group. Latency: `Timing`.
    Source: BitMoD (HPCA 2025), section IV-B and figure 5, with integer activations.

    Members
    -------
    activations : In, `lanes` int8
    operand : In, `lanes` terms
    control : In(CONTROL)
    scale_bit : In(1), the group scale of this column, least significant bit first
    drain_in, drain_out : the result register's shift chain
    """

    def __init__(self, spec: BitmodSpec):
        lanes = data.ArrayLayout(signed(8), spec.lanes), data.ArrayLayout(TERM, spec.lanes)
        super().__init__(pe_ports(spec, *lanes))

    def build(self, m, platform):
        spec, control = self.spec, self.control
        group_sum = Signal(signed(spec.group_bits), reset_less=True)

        # Stage 1: one digit of each lane's weight.
        products = []
        for activation, term in zip(self.activations, self.operand, strict=True):
            shifted = Mux(term.man, activation << term.exp, 0)
            products.append(Mux(term.sign, -shifted, shifted))
        dot = registered(m, "dot", add_tree(products), signed(spec.dot_bits))

        # Stage 2: the group's sum.
        with m.If(control.accumulate):
            m.d.sync += group_sum.eq(Mux(control.first, 0, group_sum) + (dot << control.bsig))

        add_drain(m, self, add_dequantiser(m, self, group_sum))
