"""What stands around chains of DSPs: the tops of columns, and the delays of a row.

DSP k of a chain takes its operands k cycles later than the first. With sparse formats DSPs share sets of inputs
(spec/lane_sets.py), and each has a multiplexer of its set. In a step of N of M weights a DSP works for one column,
which says what it takes; in a full step its input follows from the step's number.
"""

from amaranth import Array, Cat, Const, Mux, Shape, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import Delays, delayed
from einloom.hw.arith.terms import SPECIAL_VALUES
from einloom.hw.part import Part
from einloom.hw.pe.column import SCALE_PORTS, add_group_scale, codes_port, word_formats
from einloom.hw.wires import choose
from einloom.spec.formats import SCALE_BITS, SELECTOR_BITS, Format
from einloom.spec.lane_sets import LaneSets
from einloom.spec.sparsity import KEPT, PATTERNS

EARLY_BITS = 2
"""Bits of an index that pick four to one in a LUT. Where there are more, these come a cycle before the others."""


def operand_layout(value_bits: int, lanes: int, sets: LaneSets | None, scale: bool) -> data.StructLayout:
    """A column's operand: a value per DSP, which input of its set each of its own DSPs takes, and the group's scale."""
    members = {"values": data.ArrayLayout(signed(value_bits), lanes)}
    if sets:
        members["indices"] = data.ArrayLayout(range(sets.candidates), sets.own)
    return data.StructLayout(members | ({"scale": SCALE_BITS} if scale else {}))


class LaneDelay(Part):
    """Delays the activations of a row, each to the cycles in which a chain of DSPs takes it.

    Throughput: a step a cycle. Latency: that of `taps`.

    Parameters
    ----------
    bits : of an activation.
    lanes : number of activations, of all tokens.
    taps : number and cycles of each output.

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
    more; to the operand's scale `scale_delay` and 1.

    Parameters
    ----------
    formats : the weight formats.
    value_bits : width of a value.
    delays : cycles by which each lane is late.
    scale_delay : `delay` of add_group_scale; or cycles by which the scale is later than the held codes.
    sets : DSPs that share inputs, if a format is sparse.
    scale_in_operand : the operand has the group's scale.
    column : number of the column among those of a DSP, 0 for that of the lowest field.

    Members
    -------
    codes_<format>, load, format, selector, SCALE_PORTS : see BitmodColumn; metadata comes with its first codes
    special_values : In, integers; there if a format has special values, as is `selector`
    turn : In, with `load`, where it isn't always 0: number of a full step, or of the block of M that a step is of
    full : In(1), with `load`, if a format chooses N of M: the step has a code for every weight
    operand : Out(operand_layout)
    """

    def __init__(
        self,
        formats: tuple[Format, ...],
        value_bits: int,
        delays: tuple[int, ...],
        scale_delay: int,
        sets: LaneSets | None = None,
        scale_in_operand: bool = False,
        column: int = 0,
    ):
        self.has_specials = any(f.special_code is not None for f in formats)
        specials = {"selector": In(SELECTOR_BITS), "special_values": In(SPECIAL_VALUES)}
        words = {f: sets.words(f) if sets else len(delays) for f in word_formats(formats)}
        scale = {name: SCALE_PORTS[name] for name in ("scale", "load_metadata")} if scale_in_operand else SCALE_PORTS
        super().__init__({
            **{codes_port(f): In(data.ArrayLayout(f.word_bits, count)) for f, count in words.items()},
            "load": In(1),
            **scale,
            **(specials if self.has_specials else {}),
            "format": In(range(max(len(formats), 2))),
            **({"turn": In(range(sets.turns(formats)))} if sets and sets.turns(formats) > 1 else {}),
            **({"full": In(1)} if any(f.of for f in formats) else {}),
            "operand": Out(operand_layout(value_bits, len(delays), sets, scale_in_operand)),
        })

    def build(self, m, platform):
        if self.scale_in_operand:
            self._scale(m)
        else:
            add_group_scale(m, self, self.scale_delay, joined=True)
        shared = {"format": self.format}
        if self.has_specials:
            shared["special"] = self._special_value(m)
        delays = Delays(m, shared)
        widest = max(f.bits for f in self.formats)
        for lane, late in enumerate(self.delays):
            code = Signal(widest, name=f"code_{lane}", reset_less=True)
            with m.If(self.load):
                m.d.sync += code.eq(self._of_format(self.format, [self._code(f, lane) for f in self.formats]))
            own = {name: delays.at(name, 1 + late) for name in shared}
            self._decode(m, self.operand["values"][lane], delayed(m, f"code_{lane}", code, 1 + late), **own)
            if self.sets and self.sets.column_of(lane) == self.column:
                m.d.comb += self.operand["indices"][self.sets.number(lane)].eq(self._index(m, lane, late))

    def _scale(self, m):
        """The scale of the group whose codes are held goes into the operand."""
        scale = Signal(SCALE_BITS, name="group_scale", reset_less=True)
        with m.If(self.load_metadata):
            m.d.sync += scale.eq(self.scale)
        m.d.comb += self.operand["scale"].eq(delayed(m, "scale", scale, self.scale_delay))

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
        words = getattr(self, codes_port(format))
        if format.neighbours == 1:
            return words[lane]
        kept = Const(0, format.bits)
        if self.sets.column_of(lane) == self.column:
            number = self.sets.number(lane)
            if format.sparse:
                kept = words[number // KEPT].word_select(number % KEPT, format.bits)
            else:
                kept = words[number][: format.bits]
        return Mux(self.full, getattr(self, codes_port(format.full))[lane], kept) if format.of else kept

    def _index(self, m, lane: int, late: int):
        """Which of its inputs the DSP `lane` takes."""
        candidates = range(self.sets.candidates)
        index, chosen = Signal(candidates, name=f"index_{lane}", reset_less=True), []
        turn = self.turn if self.sets.turns(self.formats) > 1 else Const(0, 0)
        in_order = Cat(Const(self.sets.rank(lane), self.sets.sharing.bit_length() - 1), turn)
        for kind in self.formats:
            place = Signal(candidates, name=f"place_{lane}_{kind.name}")
            chosen.append(place)
            if kind.neighbours == 1:
                m.d.comb += place.eq(in_order)
                continue
            word, number = getattr(self, codes_port(kind)), self.sets.number(lane)
            if kind.sparse:
                picked = Signal(range(kind.neighbours), name=f"picked_{lane}_{kind.name}")
                pattern = word[number // KEPT][KEPT * kind.bits :]
                choose(m, picked, pattern, {n: p[number % KEPT] for n, p in enumerate(PATTERNS)})
                m.d.comb += place.eq(Cat(picked, turn))
            else:
                m.d.comb += place.eq(Mux(self.full, in_order, Cat(word[number][kind.bits :], turn)))
        with m.If(self.load):
            m.d.sync += index.eq(self._of_format(self.format, chosen))
        if len(index) <= EARLY_BITS:
            return delayed(m, f"index_{lane}", index, 1 + late)
        low, high = index[:EARLY_BITS], index[EARLY_BITS:]
        return Cat(delayed(m, f"early_{lane}", low, late), delayed(m, f"index_{lane}", high, 1 + late))

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


class ColumnTops(Part):
    """The tops of the columns of a DSP. Throughput and latency: those of ValueColumn.

    Parameters
    ----------
    count : number of columns.
    formats, value_bits, delays, scale_delay, sets, scale_in_operand : of each column.

    Members
    -------
    codes_<format>, scale, selector, operand, scale_bit : of all columns, the first one's lowest
    others : of ValueColumn, for all
    """

    SLICED = ("scale", "selector", "operand", "scale_bit")

    def __init__(
        self,
        count: int,
        formats: tuple[Format, ...],
        value_bits: int,
        delays: tuple[int, ...],
        scale_delay: int,
        sets: LaneSets | None = None,
        scale_in_operand: bool = False,
    ):
        common = (formats, value_bits, delays, scale_delay, sets, scale_in_operand)
        self.columns = [ValueColumn(*common, column) for column in range(count)]
        for column in self.columns:
            column._MustUse__used = True  # this part may only be a pattern, or asked for its ports
        ports = {}
        for name, member in self.columns[0].signature.members.items():
            sliced = name in self.SLICED or name in map(codes_port, word_formats(formats))
            ports[name] = member.flow(count * Shape.cast(member.shape).width) if sliced else member
        super().__init__(ports)

    def build(self, m, platform):
        for n, column in enumerate(self.columns):
            column.place(m, f"column_{n}", platform)
            for name, member in column.signature.members.items():
                mine, own = getattr(self, name), Value.cast(getattr(column, name))
                if len(Value.cast(mine)) != len(own):
                    mine = mine.word_select(n, len(own))
                m.d.comb += Value.cast(mine).eq(own) if member.flow == Out else own.eq(mine)
