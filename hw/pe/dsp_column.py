"""What stands around chains of DSPs: the tops of columns, and the delays of a row.

DSP k of a chain takes its operands k cycles later than the first. With sparse weights (spec/sparsity.py) each column
has activations of its own, so a DSP works for one of its two columns. Of the four DSPs of four neighbouring inputs the
first two take the kept weights of the lower column, the others those of the upper one, and each has a multiplexer of
the four activations. With dense weights DSP k takes input k, for both columns.
"""

from amaranth import Array, Const, Shape, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import Delays, delayed
from einloom.hw.arith.terms import SPECIAL_VALUES
from einloom.hw.part import Part
from einloom.hw.pe.column import SCALE_PORTS, add_group_scale, code_ports, codes_port
from einloom.hw.wires import choose
from einloom.spec.formats import SELECTOR_BITS, Format
from einloom.spec.sparsity import BLOCK, KEPT, PATTERNS

INDEX = range(BLOCK)


def column_of(dsp: int) -> int:
    """The column that a DSP works for with sparse weights: 0 for the lower one, 1 for the upper one."""
    return dsp // KEPT % 2


def operand_layout(formats: tuple[Format, ...], value_bits: int, lanes: int) -> data.StructLayout:
    """A column's operand: a value per DSP, and which of four activations each of its own DSPs takes."""
    values = data.ArrayLayout(signed(value_bits), lanes)
    if not any(f.sparse for f in formats):
        return data.StructLayout({"values": values})
    return data.StructLayout({"values": values, "indices": data.ArrayLayout(INDEX, lanes // 2)})


class LaneDelay(Part):
    """Delays the activations of a row, each to the cycles in which a chain of DSPs takes it.

    Throughput: a step a cycle. Latency: that of `taps`.

    Parameters
    ----------
    bits : of an activation.
    lanes : number of activations.
    taps : lane and cycles of each output.

    Members
    -------
    activations : In, lane 0 lowest
    shared : Out, the delayed activations
    """

    def __init__(self, bits: int, lanes: int, taps: tuple[tuple[int, int], ...]):
        super().__init__({"activations": In(bits * lanes), "shared": Out(data.ArrayLayout(signed(bits), len(taps)))})

    def build(self, m, platform):
        delays = Delays(m, {f"lane_{n}": self.activations.word_select(n, self.bits) for n in range(self.lanes)})
        for output, (lane, cycles) in zip(self.shared, self.taps, strict=True):
            m.d.comb += output.eq(delays.at(f"lane_{lane}", cycles))


class ValueColumn(Part):
    """The column top of engines that multiply by values: it holds a step's codes, delays each lane, and decodes it.

    Codes are delayed before they are decoded, because they are narrower than values. The special value of a group
    is delayed with them. Throughput: a step a cycle. Latency: 2 cycles from a step's load to the operand, and `delays`
    more.

    Parameters
    ----------
    formats : the weight formats.
    value_bits : width of a value.
    delays : cycles by which each lane is late.
    scale_delay : `delay` of add_group_scale.
    column : 0 for the lower of two columns, 1 for the upper one, if a format is sparse.

    Members
    -------
    codes_<format>, load, format, selector, SCALE_PORTS : see BitmodColumn; metadata comes with its first codes
    special_values : In, integers; there if a format has special values, as is `selector`
    operand : Out(operand_layout)
    """

    def __init__(
        self, formats: tuple[Format, ...], value_bits: int, delays: tuple[int, ...], scale_delay: int, column: int = 0
    ):
        lanes = len(delays)
        self.has_specials = any(f.special_code is not None for f in formats)
        specials = {"selector": In(SELECTOR_BITS), "special_values": In(SPECIAL_VALUES)}
        super().__init__({
            **code_ports(formats, lanes),
            **SCALE_PORTS,
            **(specials if self.has_specials else {}),
            "format": In(range(max(len(formats), 2))),
            "operand": Out(operand_layout(formats, value_bits, lanes)),
        })

    def build(self, m, platform):
        add_group_scale(m, self, self.scale_delay, joined=True)
        shared = {"format": self.format}
        if self.has_specials:
            shared["special"] = self._special_value(m)
        delays = Delays(m, shared)
        widest, indices = max(f.bits for f in self.formats), []
        for lane, late in enumerate(self.delays):
            code = Signal(widest, name=f"code_{lane}", reset_less=True)
            with m.If(self.load):
                m.d.sync += code.eq(self._of_format(self.format, [self._code(f, lane) for f in self.formats]))
            own = {name: delays.at(name, 1 + late) for name in shared}
            self._decode(m, self.operand["values"][lane], delayed(m, f"code_{lane}", code, 1 + late), **own)
            if any(f.sparse for f in self.formats) and column_of(lane) == self.column:
                indices.append(self._index(m, lane, late))
        for n, index in enumerate(indices):
            m.d.comb += self.operand["indices"][n].eq(index)

    def _special_value(self, m):
        """The special value of the group whose codes are held."""
        selector = Signal(SELECTOR_BITS, name="sel", reset_less=True)
        with m.If(self.load_metadata):
            m.d.sync += selector.eq(self.selector)
        return self.special_values[selector]

    @staticmethod
    def _of_format(format, choices):
        """The choice of the format whose number is `format`."""
        return choices[0] if len(choices) == 1 else Array(choices)[format]

    def _code(self, format: Format, lane: int):
        """The code that the DSP `lane` takes of this column's, 0 for none."""
        codes = getattr(self, codes_port(format))
        if not format.sparse:
            return codes[lane]
        if column_of(lane) != self.column:
            return Const(0, format.bits)
        return codes[lane // BLOCK].word_select(lane % KEPT, format.bits)

    def _index(self, m, lane: int, late: int):
        """Which of its four activations the DSP `lane` takes."""
        index, chosen = Signal(INDEX, name=f"index_{lane}", reset_less=True), []
        for kind in self.formats:
            if not kind.sparse:
                chosen.append(Const(lane % BLOCK, len(index)))
                continue
            place = Signal(INDEX, name=f"place_{lane}_{kind.name}")
            pattern = getattr(self, codes_port(kind))[lane // BLOCK][KEPT * kind.bits :]
            choose(m, place, pattern, {number: p[lane % KEPT] for number, p in enumerate(PATTERNS)})
            chosen.append(place)
        with m.If(self.load):
            m.d.sync += index.eq(self._of_format(self.format, chosen))
        return delayed(m, f"index_{lane}", index, 1 + late)

    def _decode(self, m, value, code, format, special=None):
        """Assign to `value` what `code` means."""
        meanings = []
        for kind in self.formats:
            own = code[: kind.bits]
            if kind.is_twos_complement:
                meanings.append(own.as_signed())
                continue
            meaning = Signal.like(value, name=f"{code.name}_{kind.name}")
            choices = {n: special if n == kind.special_code else v for n, v in enumerate(kind.table)}
            choose(m, meaning, own, choices)
            meanings.append(meaning)
        m.d.comb += value.eq(self._of_format(format, meanings))


class PairTop(Part):
    """The tops of the two columns of a DSP. Throughput and latency: those of ValueColumn.

    Parameters
    ----------
    formats, value_bits, delays, scale_delay : of each column.

    Members
    -------
    codes_<format>, scale, selector, operand, scale_bit : of both columns, the lower one's lowest
    others : of ValueColumn, for both
    """

    SLICED = ("scale", "selector", "operand", "scale_bit")

    def __init__(self, formats: tuple[Format, ...], value_bits: int, delays: tuple[int, ...], scale_delay: int):
        self.columns = [ValueColumn(formats, value_bits, delays, scale_delay, column) for column in (0, 1)]
        for column in self.columns:
            column._MustUse__used = True  # this part may only be a pattern, or asked for its ports
        ports = {}
        for name, member in self.columns[0].signature.members.items():
            sliced = name in self.SLICED or name in map(codes_port, formats)
            ports[name] = member.flow(2 * Shape.cast(member.shape).width) if sliced else member
        super().__init__(ports)

    def build(self, m, platform):
        for n, column in enumerate(self.columns):
            column.place(m, f"column_{n}", platform)
            for name, member in column.signature.members.items():
                mine, own = getattr(self, name), Value.cast(getattr(column, name))
                if len(Value.cast(mine)) != len(own):
                    mine = mine.word_select(n, len(own))
                m.d.comb += Value.cast(mine).eq(own) if member.flow == Out else own.eq(mine)
