"""The row part of PEs that multiply fp16 activations by table look-up."""

from amaranth import Cat, Const, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith import fp16
from einloom.hw.arith.delay import delayed, registered
from einloom.hw.arith.fp16 import capped_shift, exponent_and_significand, split_shift
from einloom.hw.arith.trees import max_tree
from einloom.hw.part import Part
from einloom.hw.pe.timing import CONTROL

EXPONENT_BITS = 5
MATCHED_AT_ONCE = 4  # exponents
ALIGN_CYCLES = 2
LIMIT = fp16.ALIGNED_LIMIT + 1  # bound of aligned activations


def match_cycles(lanes: int) -> int:
    """Cycles in which a tree reduces the exponents of `lanes` to at most two."""
    return 0 if lanes <= 2 else 1 + match_cycles(-(-lanes // MATCHED_AT_ONCE))


def aligned_cycles(lanes: int) -> int:
    """Cycles from activations to aligned ones: match exponents, find the largest so far, align the lanes."""
    return match_cycles(lanes) + 1 + ALIGN_CYCLES


def aligned_layout(tables: data.StructLayout, has_scale: bool) -> data.StructLayout:
    """Layout of AlignedTables.shared."""
    return data.StructLayout({
        "tables": tables,
        "sum_shift": EXPONENT_BITS,  # rise of the exponent with this term
        "total_shift": EXPONENT_BITS if has_scale else 0,  # rise with the group captured a cycle ago; 0 in other cycles
        "exponent": EXPONENT_BITS,  # exponent of the sum that is loaded
    })


class AlignedTables(Part):
    """Turns fp16 activations into integers of a common unit, and those into look-up tables.

    Step s of a dot product has the exponent E(s): the largest exponent field (1 for subnormals) of the activations of
    steps 0 to s. An activation (-1)^sign * significand * 2^(exponent - 25) of the step becomes

        (-1)^sign * round(significand * 2^(ALIGN_BITS - (E(s) - exponent))),

    rounded to nearest, ties to even: a signed integer of 15 bits, in units of 2^(E(s) - 25 - ALIGN_BITS). Digits of
    weights are never 0, so exponents do not depend on weights and are handled here, once for all columns.

    Throughput: a step every cycle. Latency: `aligned_cycles` and the generator's to the tables; shifts and exponent
    come in the cycles in which the PE needs them. The exponent field 31 is taken as a number, so callers must not send
    infinities or NaNs.

    Parameters
    ----------
    spec : LutFp16Spec of the PEs, with its tables, their generator, and the cycles in which PEs add up and scale.

    Members
    -------
    activations : In, an fp16 number per lane, lane 0 lowest; held for as long as terms of their step are issued
    control : In(CONTROL); `enter` and `renew` come `match_cycles` after the activations
    shared : Out(aligned_layout)
    """

    def __init__(self, spec):
        self.lanes = spec.lanes
        self.has_scale = spec.group is not None
        super().__init__({
            "activations": In(data.ArrayLayout(fp16.FP16, self.lanes)),
            "control": In(CONTROL),
            "shared": Out(spec.shared),
        })

    def build(self, m, platform):
        generator = self.spec.generator().place(m, "generator", platform)
        exponent = self._raise_exponent(m)
        waited = [delayed(m, f"lane_{n}", a, match_cycles(self.lanes) + 1) for n, a in enumerate(self.activations)]
        aligned = [self._align(m, n, fp16.FP16(lane), exponent) for n, lane in enumerate(waited)]
        m.d.comb += [generator.activations.eq(Cat(aligned)), self.shared.tables.eq(generator.shared)]

    def _raise_exponent(self, m):
        """E of the step whose activations came `match_cycles` + 1 ago. Drives the shifts and the exponent."""
        level = [exponent_and_significand(a)[0] for a in self.activations]
        for cycle in range(match_cycles(self.lanes)):
            parts = [level[n : n + MATCHED_AT_ONCE] for n in range(0, len(level), MATCHED_AT_ONCE)]
            level = [delayed(m, f"largest_{cycle}_{n}", max_tree(part), 1) for n, part in enumerate(parts)]
        largest, control = max_tree(level), self.control
        exponent = Signal(EXPONENT_BITS, reset_less=True)
        before, after = Signal(EXPONENT_BITS), Signal(EXPONENT_BITS)
        raised = Signal(EXPONENT_BITS, reset_less=True)
        m.d.comb += [before.eq(Mux(control.renew, 0, exponent)), after.eq(Mux(before > largest, before, largest))]
        m.d.sync += raised.eq(after - before)
        with m.If(control.enter):
            m.d.sync += exponent.eq(after)

        spec = self.spec
        until_added = ALIGN_CYCLES + spec.table_cycles + spec.dot_stages + spec.scales_sums
        m.d.comb += self.shared.sum_shift.eq(delayed(m, "raised", raised, until_added))
        of_sum = delayed(m, "of_sum", exponent, until_added + 1)
        if self.has_scale:
            of_total = Signal(EXPONENT_BITS, reset_less=True)
            total_raised = Signal(EXPONENT_BITS)
            m.d.sync += total_raised.eq(0)
            with m.If(control.capture):
                m.d.sync += [of_total.eq(of_sum), total_raised.eq(of_sum - of_total)]
            m.d.comb += self.shared.total_shift.eq(total_raised)
            of_sum = delayed(m, "of_loaded", of_total, 1)  # the next group may be captured while a total is loaded
        m.d.comb += self.shared.exponent.eq(of_sum)
        return exponent

    def _align(self, m, n, number, exponent):
        """The number of lane `n` as an integer in the unit of `exponent`, ALIGN_CYCLES later."""
        own, significand = exponent_and_significand(number)
        exact = Cat(Const(0, fp16.ALIGN_BITS), significand)
        distance = delayed(m, f"distance_{n}", capped_shift(exact, exponent - own), 1)
        kept, up = split_shift(delayed(m, f"exact_{n}", exact, 1), distance)
        minus = delayed(m, f"minus_{n}", number.sign, 1)
        # -(kept + up) = ~kept + 1 - up: one adder rounds and negates.
        signed_kept = (Cat(kept, Const(0, 1)) ^ minus.replicate(len(exact) + 1)).as_signed()
        return registered(m, f"aligned_{n}", signed_kept + (up ^ minus), signed(len(exact) + 1))
