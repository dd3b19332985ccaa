"""What stands around chains of DSPs: the top of a column, and the delays of a row."""

from amaranth import Array, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import Delays, delayed
from einloom.hw.arith.terms import SPECIAL_VALUES
from einloom.hw.part import Part
from einloom.hw.pe.column import SCALE_PORTS, add_group_scale, code_ports, codes_port
from einloom.hw.wires import choose
from einloom.spec.formats import SELECTOR_BITS, Format


class LaneDelay(Part):
    """Delays the activations of a row, each lane to the cycle in which a chain of DSPs takes it.

    Throughput: a step a cycle. Latency: `delays`.

    Parameters
    ----------
    bits : of an activation.
    delays : cycles for each lane.

    Members
    -------
    activations : In, lane 0 lowest
    shared : Out, the delayed lanes
    """

    def __init__(self, bits: int, delays: tuple[int, ...]):
        lanes = len(delays)
        super().__init__({"activations": In(bits * lanes), "shared": Out(data.ArrayLayout(signed(bits), lanes))})

    def build(self, m, platform):
        for lane, cycles in enumerate(self.delays):
            word = self.activations.word_select(lane, self.bits)
            m.d.comb += self.shared[lane].eq(delayed(m, f"lane_{lane}", word, cycles))


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

    Members
    -------
    codes_<format>, load, format, selector, SCALE_PORTS : see BitmodColumn; metadata comes with its first codes
    special_values : In, integers; there if a format has special values, as is `selector`
    operand : Out, a value per lane
    """

    def __init__(self, formats: tuple[Format, ...], value_bits: int, delays: tuple[int, ...], scale_delay: int):
        lanes = len(delays)
        self.has_specials = any(f.special_code is not None for f in formats)
        specials = {"selector": In(SELECTOR_BITS), "special_values": In(SPECIAL_VALUES)}
        super().__init__({
            **code_ports(formats, lanes),
            **SCALE_PORTS,
            **(specials if self.has_specials else {}),
            "format": In(range(max(len(formats), 2))),
            "operand": Out(data.ArrayLayout(signed(value_bits), lanes)),
        })

    def build(self, m, platform):
        add_group_scale(m, self, self.scale_delay, joined=True)
        widest = max(f.bits for f in self.formats)
        codes = [Signal(widest, name=f"code_{lane}", reset_less=True) for lane in range(len(self.delays))]
        with m.If(self.load):
            for lane, code in enumerate(codes):
                taken = [getattr(self, codes_port(f))[lane] for f in self.formats]
                m.d.sync += code.eq(self._of_format(self.format, taken))
        shared = {"format": self.format}
        if self.has_specials:
            shared["special"] = self._special_value(m)
        delays = Delays(m, shared)
        for lane, (code, late) in enumerate(zip(codes, self.delays, strict=True)):
            own = {name: delays.at(name, 1 + late) for name in shared}
            self._decode(m, self.operand[lane], delayed(m, f"code_{lane}", code, 1 + late), **own)

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
