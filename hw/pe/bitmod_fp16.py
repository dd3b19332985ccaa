"""BitMoD's processing element for fp16 activations."""

from dataclasses import dataclass

from amaranth import Cat, Mux, Signal, signed
from amaranth.lib import data

from einloom.hw.arith import fp16
from einloom.hw.arith.delay import delayed, registered
from einloom.hw.arith.fp16 import exponent_and_significand, round_shift
from einloom.hw.arith.terms import TERM
from einloom.hw.arith.trees import add_tree, max_tree
from einloom.hw.arith.widths import signed_bits
from einloom.hw.part import Part
from einloom.hw.pe.bitmod import BitSerialSpec
from einloom.hw.pe.ports import add_drain, pe_ports
from einloom.hw.pe.timing import Timing
from einloom.spec.formats import SCALE_BITS

GUARD_BITS = 6  # extra bits below a dot product that is shifted to the group's or the sum's exponent, rounded down
EXPONENT_SUM_BITS = 6  # of an activation's exponent (at most 31) plus a term's (at most 3)
EXPONENT_BIAS = fp16.UNIT_EXPONENT + fp16.ALIGN_BITS + GUARD_BITS


@dataclass(frozen=True)
class BitmodFp16Spec(BitSerialSpec):
    """Size of a bit-serial PE for fp16 activations, and the widths that follow.

    Parameters: those of BitSerialSpec, and `bsig`, the shared shifts of each format's terms.
    """

    bsig: tuple[tuple[int, ...], ...]

    activation_bits = 16
    exponent_bits = EXPONENT_SUM_BITS
    exponent_bias = EXPONENT_BIAS
    timing = Timing(accumulate=4, capture=6, align=1, scale_bits=SCALE_BITS)

    @property
    def dot_bits(self) -> int:
        """Width of a step's dot product. Products are aligned to the largest one, so none exceeds a significand."""
        return signed_bits(self.lanes * fp16.ALIGNED_LIMIT)

    @property
    def group_limit(self) -> int:
        """Bound of a group's sum. Rounding down adds at most one to the magnitude, twice per term."""
        weights = max(sum(1 << s for s in shifts) for shifts in self.bsig)
        roundings = 2 * max(len(shifts) for shifts in self.bsig) * (self.group // self.lanes)
        return (self.group * fp16.ALIGNED_LIMIT * weights << GUARD_BITS) + roundings

    @property
    def group_bits(self) -> int:
        return signed_bits(self.group_limit)

    @property
    def value_bits(self) -> int:
        """Width of the sum of all scaled groups. Each is rounded down before scaling, and the sum once per group."""
        groups = self.max_inputs // self.group
        return signed_bits(groups * ((self.group_limit + 1) * ((1 << SCALE_BITS) - 1) + 1))

    def part(self) -> "BitmodFp16PE":
        return BitmodFp16PE(self)


class BitmodFp16PE(Part):
    """Bit-serial multiply-accumulate with aligned fp16 activations, and a bit-serial dequantiser.

    Definition, for one output (sim/golden/bitmod.py computes it):

    1. A step has `lanes` activations a = (-1)^s * m * 2^(e - 25), with e the exponent field (1 for subnormals) and m
       the 11-bit significand. For term t of their weights, lane i has the exponent e_i = e + exp_i, or 0 where
       man_i = 0, and x = max e_i. Its product is (-1)^(s + sign) * round(m * man * 2^(3 - (x - e_i))), to nearest,
       ties to even.
    2. The step's dot product d is the exact sum of the lanes, d * 2^bsig * 2^6 in units of 2^(x - 34).
    3. A group's sum (g, E) starts as (0, 0). Adding a dot product: E' = max(E, x), and g is
       floor(g / 2^(E' - E)) + floor(d * 2^(bsig + 6) / 2^(E' - x)).
    4. The output (v, V) starts as (0, 0). Adding a group with scale q: V' = max(V, E), and v is
       floor(v / 2^(V' - V)) + q * floor(g / 2^(V' - E)). The output means v * 2^(V - 34).

    The exponent field 31 is taken as a number, so callers must not send infinities or NaNs.
    Throughput as BitmodPE. Latency: `Timing`. Source: BitMoD (HPCA 2025), section IV-B and figure 5: exponent match,
    bit-serial multiply, group accumulate, dequantise. Unlike there nothing is normalised to the left. That makes the
    accumulators wider (the spec proves their widths) and the result independent of cancellation.
    """

    def __init__(self, spec: BitmodFp16Spec):
        lanes = data.ArrayLayout(fp16.FP16, spec.lanes), data.ArrayLayout(TERM, spec.lanes)
        super().__init__(pe_ports(spec, *lanes))

    def build(self, m, platform):
        dot, exponent = self._dot_product(m)
        group_sum, group_exponent = self._accumulate(m, dot, exponent)
        self._dequantise(m, group_sum, group_exponent)

    def _dot_product(self, m):
        """Stages 1 to 3: match exponents, align and round, add."""
        highest = Signal(EXPONENT_SUM_BITS, reset_less=True)
        exponents, products = [], []
        for n, (activation, term) in enumerate(zip(self.activations, self.operand, strict=True)):
            exponent_field, digits = exponent_and_significand(activation)
            exponents.append(Mux(term.man, exponent_field + term.exp, 0))
            own = registered(m, f"exponent_{n}", exponents[-1], EXPONENT_SUM_BITS)
            significand = registered(m, f"significand_{n}", Mux(term.man, digits, 0), fp16.SIGNIFICAND_BITS)
            negative = registered(m, f"negative_{n}", activation.sign ^ term.sign)
            rounded = round_shift(significand << fp16.ALIGN_BITS, highest - own)
            shape = signed(fp16.SIGNIFICAND_BITS + fp16.ALIGN_BITS + 1)
            products.append(registered(m, f"product_{n}", Mux(negative, -rounded, rounded), shape))
        m.d.sync += highest.eq(max_tree(exponents))
        dot = registered(m, "dot", add_tree(products), signed(self.spec.dot_bits))
        return dot, delayed(m, "exponent", highest, 2)

    def _accumulate(self, m, dot, exponent):
        """Stages 4 and 5: the group's exponent, then its sum."""
        spec, control = self.spec, self.control
        group_bits = signed(spec.group_bits)
        running = Signal(EXPONENT_SUM_BITS, reset_less=True)
        before, after = Signal(EXPONENT_SUM_BITS), Signal(EXPONENT_SUM_BITS)
        accumulate = Signal()
        group_sum = Signal(group_bits, reset_less=True)
        group_exponent = Signal(EXPONENT_SUM_BITS, reset_less=True)

        m.d.comb += [before.eq(Mux(control.first, 0, running)), after.eq(Mux(before > exponent, before, exponent))]
        sum_shift = registered(m, "sum_shift", after - before, EXPONENT_SUM_BITS)
        dot_shift = registered(m, "dot_shift", after - exponent, EXPONENT_SUM_BITS)
        moved = registered(m, "moved", dot << control.bsig << GUARD_BITS, group_bits)
        first = registered(m, "first", control.first)
        m.d.sync += accumulate.eq(control.accumulate)
        with m.If(control.accumulate):
            m.d.sync += running.eq(after)
        with m.If(accumulate):
            m.d.sync += group_sum.eq(Mux(first, 0, group_sum >> sum_shift) + (moved >> dot_shift))
            m.d.sync += group_exponent.eq(running)
        return group_sum, group_exponent

    def _dequantise(self, m, group_sum, group_exponent):
        """Beside the next group: align the group with the output, then multiply it by the scale bit by bit."""
        spec, control = self.spec, self.control
        aligning = Signal()
        scaled = Signal(signed(spec.group_bits + SCALE_BITS - 1), reset_less=True)
        scaled_exponent = Signal(EXPONENT_SUM_BITS, reset_less=True)
        total = Signal(signed(spec.value_bits), reset_less=True)
        total_exponent = Signal(EXPONENT_SUM_BITS, reset_less=True)
        before = Signal(EXPONENT_SUM_BITS, name="total_before")
        after = Signal(EXPONENT_SUM_BITS, name="total_after")

        m.d.sync += aligning.eq(control.capture)
        m.d.comb += [
            before.eq(Mux(control.restart, 0, total_exponent)),
            after.eq(Mux(before > scaled_exponent, before, scaled_exponent)),
        ]
        with m.If(aligning):
            m.d.sync += [
                scaled.eq(scaled >> (after - scaled_exponent).as_unsigned()),
                total.eq(Mux(control.restart, 0, total >> (after - before).as_unsigned())),
                total_exponent.eq(after),
            ]
        with m.If(control.dequantise):
            m.d.sync += [scaled.eq(scaled << 1), total.eq(total + Mux(self.scale_bit, scaled, 0))]
        with m.If(control.capture):
            m.d.sync += [scaled.eq(group_sum), scaled_exponent.eq(group_exponent)]

        add_drain(m, self, Cat(total, total_exponent))
