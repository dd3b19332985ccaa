"""The processing element that multiplies in chains of DSPs, two or three products a DSP."""

from dataclasses import dataclass

from amaranth import Cat, Mux, Signal, signed
from amaranth.lib import data

from einloom.hw.arith.adders import multiplex
from einloom.hw.arith.delay import registered
from einloom.hw.arith.dsp48e2 import OPERAND_CYCLES, Dsp48e2
from einloom.hw.arith.trees import add_tree
from einloom.hw.arith.widths import INT8_LIMIT, signed_bits
from einloom.hw.part import Part
from einloom.hw.pe.dsp_column import EARLY_BITS, ColumnTops, LaneDelay, ValueColumn, operand_layout
from einloom.hw.pe.dsp_scaler import SCALING_CYCLES, DspScaler
from einloom.hw.pe.field_packing import FieldPacking, two_complement_bits, weight_range
from einloom.hw.pe.group_scaler import GroupScaler
from einloom.hw.pe.ports import pe_ports
from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.timing import Timing
from einloom.hw.wires import choose
from einloom.spec.formats import SCALE_BITS, Format
from einloom.spec.lane_sets import LaneSets


@dataclass(frozen=True)
class SparseDspSpec(PeSpec):
    """Size of a PE of DSP chains, and the widths that follow.

    Its fields are two or three columns, or two tokens.

    Parameters
    ----------
    lanes : products of a field at once.
    group : inputs that share a scale.
    max_inputs : longest dot product.
    formats : weight formats.
    tokens : two tokens share a weight; otherwise columns share an activation.
    fields : columns that share an activation, 2 or 3, or tokens that share a weight, 2.
    scales_in_dsps : each field has a DspScaler, otherwise a GroupScaler.
    sets : see PeSpec.
    """

    lanes: int
    group: int
    max_inputs: int
    formats: tuple[Format, ...]
    tokens: bool = False
    fields: int = 2
    scales_in_dsps: bool = False
    sets: LaneSets | None = None

    activation_bits = 8
    joined = True
    has_scales = True

    @property
    def columns_per_pe(self) -> int:
        return 1 if self.tokens else self.fields

    @property
    def tokens_per_pe(self) -> int:
        return self.fields if self.tokens else 1

    @property
    def packing(self) -> FieldPacking:
        if self.tokens:
            return FieldPacking.of_tokens(self.formats)
        return FieldPacking.of_weights(self.formats, self.fields)

    @property
    def weight_bits(self) -> int:
        """Width of a weight in two's complement."""
        return two_complement_bits(*weight_range(self.formats))

    @property
    def accumulates(self) -> bool:
        """The last DSP of the only chain adds up a whole group; otherwise each step's sums leave the chains."""
        return not self.scales_in_dsps and self.packing.held >= self.group

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
    def pick_cycles(self) -> int:
        """Cycles of the multiplexers: of more than four activations they have two stages."""
        return int(self.choices > 1 << EARLY_BITS)

    @property
    def step_delay(self) -> int:
        """Cycles from an issue to the step's sum, of designs whose chains give one for each step."""
        return self.pick_cycles + OPERAND_CYCLES + self.chain + 1 + (self.chains > 1)

    @property
    def timing(self) -> Timing:
        """Cycles from an issue: 1 to the first DSP's pins, one more for each other, and then through the last one.

        `accumulate` comes a cycle early where a DSP has registers for it.
        """
        if self.scales_in_dsps:
            accumulate = self.step_delay + OPERAND_CYCLES - 1
            return Timing(accumulate=accumulate, capture=self.step_delay + SCALING_CYCLES, align=0, scale_bits=0)
        if self.accumulates:
            added = self.pick_cycles + OPERAND_CYCLES + self.chain  # in this cycle the last DSP adds the step's product
            accumulate, capture = added - 1, added + 1
        else:
            accumulate = self.step_delay
            capture = accumulate + 1
        return Timing(accumulate=accumulate, capture=capture, align=0, scale_bits=SCALE_BITS)

    @property
    def lane_delays(self) -> tuple[int, ...]:
        """Cycles by which each lane's activations are later than those of the first of its chain."""
        return tuple(lane % self.chain for lane in range(self.lanes))

    @property
    def choices(self) -> int:
        """Inputs that each DSP picks one of."""
        return self.sets.candidates if self.sets else 1

    @property
    def taps(self) -> tuple[tuple[int, int], ...]:
        """Input and delay of each activation that DSPs choose from, DSP by DSP, token by token."""
        found = []
        for token in range(self.tokens_per_pe):
            for dsp, late in enumerate(self.lane_delays):
                first = self.sets.set_of(dsp) * self.choices if self.sets else dsp
                found += [(token * self.inputs + first + n, late) for n in range(self.choices)]
        return tuple(found)

    @property
    def operand(self) -> data.StructLayout:
        """The operand of one column."""
        return operand_layout(self.weight_bits, self.lanes, self.sets, self.scales_in_dsps)

    @property
    def operand_bits(self) -> int:
        return self.operand.size

    @property
    def group_bits(self) -> tuple[int, ...]:
        """Width of a group's sum in each field; all but the topmost one are negated."""
        return (self.packing.lower_bits(self.group),) * (self.fields - 1) + (self.packing.upper_bits(self.group),)

    @property
    def value_bits(self) -> int:
        """Width of a whole dot product with its group scales."""
        weight = max(f.max_magnitude for f in self.formats)
        return signed_bits(self.max_inputs * INT8_LIMIT * weight * ((1 << SCALE_BITS) - 1))

    def shifts(self, format: Format) -> tuple[int, ...]:
        return (0,)

    def part(self) -> "SparseDspPE":
        return SparseDspPE(self)

    def column(self, formats: tuple[Format, ...]) -> Part:
        if self.scales_in_dsps:
            scale_delay = self.step_delay
        else:
            # A column keeps a group's scale until the next group ends, at least as many cycles as a scale has bits.
            scale_delay = max(0, self.timing.capture - SCALE_BITS)
        delays = tuple(late + self.pick_cycles for late in self.lane_delays)
        common = (formats, self.weight_bits, delays, scale_delay, self.sets, self.scales_in_dsps)
        return ValueColumn(*common) if self.tokens else ColumnTops(self.fields, *common)

    def row(self) -> LaneDelay:
        return LaneDelay(self.activation_bits, self.tokens_per_pe * self.inputs, self.taps)


class SparseDspPE(Part):
    """Output-stationary multiply-accumulate for two or three columns, or for two tokens, in chains of DSPs.

        P   = sum over lanes k of (2^shift * upper[k] - lower[k]) * shared[k]
        sum = sum over groups of scale * (its field of P, added up over the group)

    Either both columns' weights share an activation, or both tokens' activations a weight. Of three columns two are in
    `lower`, each in a field of its own (hw/pe/field_packing.py). With sparse formats lane k
    picks its activation among those of its set (spec/lane_sets.py); among more than four in two stages, of which the
    first has the index a cycle early.

    Lane k of a chain adds its product to what lane k - 1 gives, a cycle later than that one, and takes its operands so
    much later. Where the fields are wide enough (FieldPacking), the last DSP adds up the group; otherwise a chain is as
    long as its fields hold, and adders outside add up the fields of all chains, and of all steps unless each step is
    scaled for itself (DspScaler).

    Throughput: `lanes` products of each field a cycle. With GroupScaler a group's scaling takes 8 cycles, one per scale
    bit, beside the next group. Latency: `Timing`. Everything is exact. Source: FlightLLM (FPGA 2024), section 3.2, for
    chains of packed DSPs; packing and adders are ours.

    Members
    -------
    activations : In, int8, those that each lane chooses from in its cycle, of one token or of two
    operand : In, `SparseDspSpec.operand` of each column, that of the lowest field first, each lane in its cycle
    control : In(CONTROL)
    scale_bit : In, with GroupScaler: the group scale of each column, least significant bit first
    drain_in, drain_out : the result registers' shift chains
    """

    def __init__(self, spec: SparseDspSpec):
        activations = data.ArrayLayout(signed(8), len(spec.taps))
        super().__init__(pe_ports(spec, activations, data.ArrayLayout(spec.operand, spec.columns_per_pe)))

    def build(self, m, platform):
        spec, chains = self.spec, range(0, self.spec.lanes, self.spec.chain)
        enable = registered(m, "enable", self.control.accumulate) if spec.accumulates else None
        results = [self._chain(m, first, enable, platform) for first in chains]
        ends = self._scalers(m, results, platform) if spec.scales_in_dsps else self._group_scalers(m, results, platform)
        for end in ends:
            m.d.comb += end.control.eq(self.control)
        if spec.tokens:  # the lower field is the first token, whose result leaves first
            lower, upper = ends
            m.d.comb += [upper.drain_in.eq(self.drain_in), lower.drain_in.eq(upper.drain_out)]
            m.d.comb += self.drain_out.eq(lower.drain_out)
            return
        for column, end in enumerate(ends):
            drain_in, drain_out = (p.word_select(column, spec.sum_bits) for p in (self.drain_in, self.drain_out))
            m.d.comb += [end.drain_in.eq(drain_in), drain_out.eq(end.drain_out)]

    def _column(self, field):
        """The column of a field."""
        return 0 if self.spec.tokens else field

    def _group_scalers(self, m, results, platform):
        """The fields' ends: their sums over a group are scaled bit by bit."""
        spec = self.spec
        fields = [list(chains) for chains in zip(*(self._fields(p) for p in results), strict=True)]
        group_sums = [chains[0] for chains in fields] if spec.accumulates else self._added_up(m, fields)
        ends = []
        for field, (total, bits) in enumerate(zip(group_sums, spec.group_bits, strict=True)):
            below = field < spec.fields - 1
            end = GroupScaler(spec, bits, negated=below, biased=below and spec.accumulates)
            ends.append(end.place(m, f"column_{field}", platform))
            m.d.comb += [end.group_sum.eq(total), end.scale_bit.eq(self.scale_bit[self._column(field)])]
        return ends

    def _scalers(self, m, results, platform):
        """The fields' ends: each step's sums are scaled in DSPs."""
        packing, products, count = self.spec.packing, self.spec.products, len(results)
        lower_bits, upper_bits = packing.lower_bits(products), packing.upper_bits(products)
        ends = []
        for field in range(packing.fields):
            first, below = field * packing.shift, field < packing.fields - 1
            if below:
                total = add_tree([p[first : first + lower_bits] for p in results])
            else:
                total = add_tree([p[first : first + upper_bits].as_signed() for p in results])
            bias = count << lower_bits - 1 if below else None
            if count > 1:
                total = registered(m, f"step_{field}", total)
            end = DspScaler(self.spec, len(total), bias).place(m, f"field_{field}", platform)
            ends.append(end)
            m.d.comb += [end.step_sum.eq(total), end.scale.eq(self._operand(self._column(field))["scale"])]
        return ends

    def _operand(self, column):
        return self.operand[column]

    def _chain(self, m, first, enable, platform):
        """The result of the chain that begins with lane `first`."""
        spec, below = self.spec, None
        for lane in range(first, first + spec.chain):
            is_last = lane + 1 == first + spec.chain
            dsp = Dsp48e2(
                cascaded=below is not None,
                accumulates=is_last and spec.accumulates,
                constant=spec.packing.bias(spec.products) if is_last else 0,
            ).place(m, f"dsp_{lane}", platform)
            values = [self._operand(column)["values"][lane] for column in range(spec.columns_per_pe)]
            activations = [self._activation(m, lane, token) for token in range(spec.tokens_per_pe)]
            (*lower, upper), (shared,) = (activations, values) if spec.tokens else (values, activations)
            m.d.comb += [dsp.a.eq(self._packed(m, lane, lower)), dsp.d.eq(upper << spec.packing.top), dsp.b.eq(shared)]
            if below is not None:
                m.d.comb += dsp.pcin.eq(below.pcout)
            below = dsp
        if spec.accumulates:
            m.d.comb += [below.enable.eq(enable), below.restart.eq(self.control.first)]
        return below.p

    def _packed(self, m, lane, lower):
        """The operands of the fields below the topmost one, as one number: their sum in LUTs without a carry chain."""
        if len(lower) == 1:
            return lower[0]
        low, high = lower
        bits = self.spec.weight_bits
        borrowed = Signal(signed(bits + 1), name=f"borrowed_{lane}")  # high, less 1 where low is negative
        cases = {n: (n ^ 1 << bits - 1) - (1 << bits - 1) for n in range(1 << bits)}
        choose(
            m, borrowed, Cat(high, low[-1]), {n | sign << bits: v - sign for n, v in cases.items() for sign in (0, 1)}
        )
        return Cat(low, low[-1].replicate(self.spec.packing.shift - bits), borrowed).as_signed()

    def _activation(self, m, lane, token):
        sets, choices = self.spec.sets, self.spec.choices
        first = (token * self.spec.lanes + lane) * choices
        if sets is None:
            return self.activations[first]
        index = self._operand(sets.column_of(lane))["indices"][sets.number(lane)]
        choices = [self.activations[first + n] for n in range(choices)]
        early, late = index[:EARLY_BITS], index[EARLY_BITS:]
        if not self.spec.pick_cycles:
            return multiplex(choices, early)
        size = 1 << EARLY_BITS
        names = (f"picked_{token}_{lane}_{n}" for n in range(len(choices) // size))
        groups = (multiplex(choices[n : n + size], early) for n in range(0, len(choices), size))
        return multiplex([registered(m, name, group) for name, group in zip(names, groups, strict=True)], late)

    def _fields(self, result):
        """The negated sums of lower products, biased where GroupScaler takes that off, and that of the topmost ones."""
        packing, products = self.spec.packing, self.spec.products
        bits, found = packing.lower_bits(products), []
        for first in range(0, packing.top, packing.shift):
            lower = result[first : first + bits].as_signed()
            if not self.spec.accumulates:
                lower = Cat(lower[:-1], ~lower[-1]).as_signed()  # minus the half that was added
            found.append(lower)
        return [*found, result[packing.top : packing.top + packing.upper_bits(products)].as_signed()]

    def _added_up(self, m, fields):
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
