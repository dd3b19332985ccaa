"""What a row makes of fp16 activations for PEs that multiply by table look-up."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.arith.fp16 import (
    ALIGN_BITS,
    ALIGNED_LIMIT,
    FP16,
    capped_shift,
    exponent_and_significand,
    split_shift,
)
from einloom.hw.arith.trees import max_tree
from einloom.hw.part import Part
from einloom.hw.pe.timing import CONTROL

EXPONENT_BITS = 5
MATCHED_AT_ONCE = 4  # exponents
ALIGN_CYCLES = 2
LIMIT = ALIGNED_LIMIT + 1  # aligned activations are below it


def match_cycles(lanes: int) -> int:
    """Cycles after which at most two exponents are left, the largest of those before."""
    return 0 if lanes <= 2 else 1 + match_cycles(-(-lanes // MATCHED_AT_ONCE))


def aligned_cycles(lanes: int) -> int:
    """From activations to aligned ones: exponents are matched and the largest so far is found, lanes aligned."""
    return match_cycles(lanes) + 1 + ALIGN_CYCLES


def aligned_layout(tables: data.StructLayout, has_scale: bool) -> data.StructLayout:
    """`shared` of AlignedTables."""
    return data.StructLayout({
        "tables": tables,
        "sum_shift": EXPONENT_BITS,  # by how much this term raises the exponent
        "total_shift": EXPONENT_BITS if has_scale else 0,  # and the group that was captured a cycle ago; 0 in others
        "exponent": EXPONENT_BITS,  # of the sum that is loaded
    })


class AlignedTables(Part):
    """fp16 activations as integers in the row's unit, and the look-up tables of these.

    Step s of a dot product has the exponent E(s), the largest exponent field (1 for subnormals) of the activations of
    steps 0 to s, and an activation (-1)^sign * significand * 2^(exponent - 25) of it becomes

        (-1)^sign * round(significand * 2^(ALIGN_BITS - (E(s) - exponent))),

    rounded to nearest, ties to even: a signed integer of 15 bits, in units of 2^(E(s) - 25 - ALIGN_BITS). Weights have
    no part in it, for digits are never 0: what depends on exponents is done here, once for all columns.

    Throughput: a step every cycle. Latency: `aligned_cycles` and that of the generator to the tables; the shifts and
    the exponent come as late as the PE needs them. The exponent field 31 is taken as a number, so callers must not send
    infinities or NaNs.

    Parameters
    ----------
    spec : of the PEs (LutFp16Spec): its tables, what makes them, and when its PEs add up and scale.

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
            "activations": In(data.ArrayLayout(FP16, self.lanes)),
            "control": In(CONTROL),
            "shared": Out(spec.shared),
        })

    def elaborate(self, platform):
        m = Module()
        generator = self.spec.generator()
        generator.place(m, "generator", platform)
        exponent = self._raise_exponent(m)
        waited = [delayed(m, f"lane_{n}", a, match_cycles(self.lanes) + 1) for n, a in enumerate(self.activations)]
        aligned = [self._align(m, n, FP16(lane), exponent) for n, lane in enumerate(waited)]
        m.d.comb += [generator.activations.eq(Cat(aligned)), self.shared.tables.eq(generator.shared)]
        return m

    def _raise_exponent(self, m):
        """E of the step whose activations came `match_cycles` + 1 ago; and all that the PEs learn of exponents."""
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
            of_sum = delayed(m, "of_loaded", of_total, 1)  # a group may be captured while the total before it is loaded
        m.d.comb += self.shared.exponent.eq(of_sum)
        return exponent

    def _align(self, m, n, number, exponent):
        """A lane's number as an integer in the unit of `exponent`, ALIGN_CYCLES later."""
        own, significand = exponent_and_significand(number)
        exact = Cat(Const(0, ALIGN_BITS), significand)
        distance = delayed(m, f"distance_{n}", capped_shift(exact, exponent - own), 1)
        kept, up = split_shift(delayed(m, f"exact_{n}", exact, 1), distance)
        minus = delayed(m, f"minus_{n}", number.sign, 1)
        # -(kept + up) = ~kept + 1 - up: one adder rounds and negates.
        signed_kept = (Cat(kept, Const(0, 1)) ^ minus.replicate(len(exact) + 1)).as_signed()
        aligned = Signal(signed(len(exact) + 1), name=f"aligned_{n}", reset_less=True)
        m.d.sync += aligned.eq(signed_kept + (up ^ minus))
        return aligned
