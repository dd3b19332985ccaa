"""The processing element that multiplies in chains of DSPs, two weights a DSP."""

from dataclasses import dataclass

from amaranth import Cat, Mux, Signal, signed
from amaranth.lib import data

from einloom.hw.arith.adders import multiplex
from einloom.hw.arith.delay import registered
from einloom.hw.arith.dsp48e2 import OPERAND_CYCLES, Dsp48e2
from einloom.hw.arith.trees import add_tree
from einloom.hw.arith.widths import INT8_LIMIT, signed_bits
from einloom.hw.part import Part
from einloom.hw.pe.dsp_column import LaneDelay, PairTop, column_of, operand_layout
from einloom.hw.pe.group_scaler import GroupScaler
from einloom.hw.pe.pair_packing import PairPacking
from einloom.hw.pe.ports import pe_ports
from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.timing import Timing
from einloom.spec.formats import SCALE_BITS, Format
from einloom.spec.sparsity import BLOCK, KEPT


@dataclass(frozen=True)
class SparseDspSpec(PeSpec):
    """Size of a PE of DSP chains for two columns, and the widths that follow.

    Parameters
    ----------
    lanes : activations multiplied at once.
    group : inputs that share a scale.
    max_inputs : longest dot product.
    formats : weight formats.
    """

    lanes: int
    group: int
    max_inputs: int
    formats: tuple[Format, ...]

    activation_bits = 8
    columns_per_pe = 2
    joined = True

    @property
    def packing(self) -> PairPacking:
        return PairPacking.of(self.formats)

    @property
    def accumulates(self) -> bool:
        """The last DSP of the only chain adds up a whole group; otherwise each step's sums are added up outside."""
        return self.packing.held >= self.group

    @property
    def chain(self) -> int:
        """DSPs of a chain."""
        return min(self.lanes, self.packing.held)

    @property
    def chains(self) -> int:
        return self.lanes // self.chain

    @property
    def products(self) -> int:
        """Products that a field holds when it is read."""
        return self.group if self.accumulates else self.chain

    @property
    def timing(self) -> Timing:
        """Cycles from an issue: 1 to the first DSP's pins, one more for each other, and then through the last one.

        `accumulate` comes a cycle early where the last DSP has registers for it.
        """
        added = OPERAND_CYCLES + self.chain  # in this cycle the last DSP adds the step's product
        if self.accumulates:
            accumulate, capture = added - 1, added + 1
        else:
            accumulate = added + 1 + (self.chains > 1)
            capture = accumulate + 1
        return Timing(accumulate=accumulate, capture=capture, align=0, scale_bits=SCALE_BITS)

    @property
    def lane_delays(self) -> tuple[int, ...]:
        """Cycles by which each lane is later than the first of its chain."""
        return tuple(lane % self.chain for lane in range(self.lanes))

    @property
    def sparse(self) -> bool:
        """Whether a format is."""
        return any(f.sparse for f in self.formats)

    @property
    def taps(self) -> tuple[tuple[int, int], ...]:
        """Lane and delay of each activation that DSPs choose from, DSP by DSP."""
        delays = self.lane_delays
        if not self.sparse:
            return tuple(enumerate(delays))
        return tuple((dsp // BLOCK * BLOCK + n, late) for dsp, late in enumerate(delays) for n in range(BLOCK))

    @property
    def operand(self) -> data.StructLayout:
        """The operand of one column."""
        return operand_layout(self.formats, self.packing.value_bits, self.lanes)

    @property
    def operand_bits(self) -> int:
        return self.operand.size

    @property
    def group_bits(self) -> tuple[int, int]:
        """Width of a group's sums: of the lower products, negated, and of the upper ones."""
        return self.packing.lower_bits(self.group), self.packing.upper_bits(self.group)

    @property
    def value_bits(self) -> int:
        """Width of a whole dot product with its group scales."""
        weight = max(f.max_magnitude for f in self.formats)
        return signed_bits(self.max_inputs * INT8_LIMIT * weight * ((1 << SCALE_BITS) - 1))

    def shifts(self, format: Format) -> tuple[int, ...]:
        return (0,)

    def part(self) -> "SparseDspPE":
        return SparseDspPE(self)

    def column(self, formats: tuple[Format, ...]) -> PairTop:
        # A column keeps a group's scale until the next group ends, at least as many cycles as a scale has bits.
        scale_delay = max(0, self.timing.capture - SCALE_BITS)
        return PairTop(formats, self.packing.value_bits, self.lane_delays, scale_delay)

    def row(self) -> LaneDelay:
        return LaneDelay(self.activation_bits, self.lanes, self.taps)


class SparseDspPE(Part):
    """Output-stationary multiply-accumulate for two neighbouring columns in chains of DSPs.

        P   = sum over lanes k of (2^shift * upper[k] - lower[k]) * activation[k]
        sum = sum over groups of scale * (its column's field of P, added up over the group)

    Lane k of a chain adds its product to what lane k - 1 gives, a cycle later than that one, and takes its operands so
    much later. Where the fields are wide enough (PairPacking), the last DSP adds up the group; otherwise a chain is as
    long as its fields hold, and adders outside add up the fields of all chains and steps.

    Throughput: `lanes` weights of each column a cycle. A group's scaling takes 8 cycles, one per scale bit, beside the
    next group. Latency: `Timing`. Everything is exact. Source: FlightLLM (FPGA 2024), section 3.2, for chains of packed
    DSPs; packing and adders are ours.

    Members
    -------
    activations : In, int8, one for each lane or, with sparse formats, four that its DSP chooses from, in its cycle
    operand : In, `SparseDspSpec.operand` of the lower column, and of the upper one above it, each lane in its cycle
    control : In(CONTROL)
    scale_bit : In(2), the group scales of both columns, least significant bit first
    drain_in, drain_out : the result registers' shift chains
    """

    def __init__(self, spec: SparseDspSpec):
        activations = data.ArrayLayout(signed(8), len(spec.taps))
        super().__init__(pe_ports(spec, activations, data.ArrayLayout(spec.operand, spec.columns_per_pe)))

    def build(self, m, platform):
        spec, chains = self.spec, range(0, self.spec.lanes, self.spec.chain)
        enable = registered(m, "enable", self.control.accumulate) if spec.accumulates else None
        sums = [self._fields(self._chain(m, first, enable, platform)) for first in chains]
        lower, upper = (list(fields) for fields in zip(*sums, strict=True))
        group_sums = (lower[0], upper[0]) if spec.accumulates else self._added_up(m, lower, upper)
        for column, (total, bits) in enumerate(zip(group_sums, spec.group_bits, strict=True)):
            end = GroupScaler(spec, bits, negated=column == 0, biased=column == 0 and spec.accumulates).place(
                m, f"column_{column}", platform
            )
            drain_in, drain_out = (p.word_select(column, spec.sum_bits) for p in (self.drain_in, self.drain_out))
            m.d.comb += [
                end.group_sum.eq(total),
                end.control.eq(self.control),
                end.scale_bit.eq(self.scale_bit[column]),
                end.drain_in.eq(drain_in),
                drain_out.eq(end.drain_out),
            ]

    def _chain(self, m, first, enable, platform):
        """The result of the chain that begins with lane `first`."""
        spec, below = self.spec, None
        lower, upper = (operand["values"] for operand in self.operand)
        half = 1 << (spec.packing.lower_bits(spec.products) - 1)
        for lane in range(first, first + spec.chain):
            is_last = lane + 1 == first + spec.chain
            dsp = Dsp48e2(
                cascaded=below is not None,
                accumulates=is_last and spec.accumulates,
                constant=half if is_last else 0,
            ).place(m, f"dsp_{lane}", platform)
            m.d.comb += [
                dsp.a.eq(lower[lane]),
                dsp.d.eq(upper[lane] << spec.packing.shift),
                dsp.b.eq(self._activation(lane)),
            ]
            if below is not None:
                m.d.comb += dsp.pcin.eq(below.pcout)
            below = dsp
        if spec.accumulates:
            m.d.comb += [below.enable.eq(enable), below.restart.eq(self.control.first)]
        return below.p

    def _activation(self, lane):
        if not self.spec.sparse:
            return self.activations[lane]
        choices = [self.activations[lane * BLOCK + n] for n in range(BLOCK)]
        indices = self.operand[column_of(lane)]["indices"]  # of the column's own DSPs, two of each four
        return multiplex(choices, indices[lane // BLOCK * KEPT + lane % KEPT])

    def _fields(self, result):
        """The negated sum of lower products, biased where GroupScaler takes that off, and that of upper ones."""
        packing, products = self.spec.packing, self.spec.products
        bits = packing.lower_bits(products)
        lower = result[:bits].as_signed()
        if not self.spec.accumulates:
            lower = Cat(lower[:-1], ~lower[-1]).as_signed()  # minus the half that was added
        return lower, result[packing.shift : packing.shift + packing.upper_bits(products)].as_signed()

    def _added_up(self, m, *fields):
        """The group's sum of each field, of all chains and steps."""
        control, totals = self.control, []
        for n, (chains, bits) in enumerate(zip(fields, self.spec.group_bits, strict=True)):
            step = add_tree(chains)
            if len(chains) > 1:
                step = registered(m, f"step_{n}", step)
            total = Signal(signed(bits), name=f"group_sum_{n}", reset_less=True)
            with m.If(control.accumulate):
                m.d.sync += total.eq(Mux(control.first, 0, total) + step)
            totals.append(total)
        return totals
