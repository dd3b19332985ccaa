"""The top of a column: it turns the codes of one output channel into operands for the PEs below."""

from amaranth import Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed, registered
from einloom.hw.arith.terms import SPECIALS, TERM, TermDecoder
from einloom.hw.part import Part
from einloom.hw.wires import feed, members
from einloom.spec.formats import SCALE_BITS, SELECTOR_BITS, Format


def codes_port(format: Format) -> str:
    """The column's port for the codes of `format`."""
    return f"codes_{format.name.replace('-', '_')}"


def word_formats(formats: tuple[Format, ...]) -> tuple[Format, ...]:
    """The formats of words that jobs of `formats` take: those of N of M weights have full steps, too."""
    both = [word for f in formats for word in ((f, f.full) if f.of else (f,))]
    return tuple({f.name: f for f in both}.values())


def code_ports(formats: tuple[Format, ...], lanes: int) -> dict:
    """The ports of a step's codes and their `load`."""
    words = {f: data.ArrayLayout(f.word_bits, lanes // f.word_inputs) for f in formats}
    return {**{codes_port(f): In(layout) for f, layout in words.items()}, "load": In(1)}


SCALE_PORTS = {
    "scale": In(SCALE_BITS),
    **members(In, "load_metadata", "first", "last", "capture", "dequantise"),
    "scale_bit": Out(1),
}
"""Ports of column tops with group scales; BitmodColumn says what they mean."""


def add_group_scale(m: Module, column, delay: int = 0, *, joined: bool = False) -> None:
    """Take group scales through a column top with SCALE_PORTS: the next one waits, one is at work, one is shifted out.

    The scale of an ended group is kept until the next group ends. Both ends come `delay` cycles late, for PEs that
    capture a group's sum only after the next group's scale has been loaded. A scale that is `joined` to its group's
    first codes is at work at once.
    """
    next_scale, scale, ended_scale, scale_shift = (
        Signal(SCALE_BITS, name=n, reset_less=True) for n in ("next_scale", "scale", "ended_scale", "scale_shift")
    )
    if joined:
        with m.If(column.load_metadata):
            m.d.sync += scale.eq(column.scale)
    else:
        with m.If(column.load_metadata):
            m.d.sync += next_scale.eq(column.scale)
        with m.If(column.load & column.first):
            m.d.sync += scale.eq(next_scale)
    late_last, late_scale = delayed(m, "last", column.last, delay), delayed(m, "scale", scale, delay)
    with m.If(late_last):
        m.d.sync += ended_scale.eq(late_scale)
    with m.If(column.capture):
        m.d.sync += scale_shift.eq(ended_scale)
    with m.Elif(column.dequantise):
        m.d.sync += scale_shift.eq(scale_shift >> 1)
    m.d.comb += column.scale_bit.eq(scale_shift[0])


class BitmodColumn(Part):
    """Holds a step's codes, turns them into terms one after the other, and sends the group scale bit by bit.

    A group's metadata may arrive while the group before is at work. It waits in a register until the first step of its
    group is loaded. Throughput: a term a cycle. Latency: 2 cycles from a step's load, 1 from `term`, to the operand.

    Parameters
    ----------
    formats : the weight formats.
    lanes : codes per step.

    Members
    -------
    codes_<format> : In, for each format: `lanes` codes
    load : In(1), take the codes of the chosen format
    scale, selector : In, metadata of the next group
    load_metadata : In(1), take them
    first : In(1), the codes taken with `load` start the next group
    format, term, specials : In, as in TermDecoder
    last : In(1), the group's last term is at work
    capture : In(1), load the ended group's scale; its lowest bit follows
    dequantise : In(1), go on to the scale's next bit
    operand : Out, `lanes` terms
    scale_bit : Out(1)
    """

    def __init__(self, formats: tuple[Format, ...], lanes: int):
        super().__init__({
            **code_ports(formats, lanes),
            **SCALE_PORTS,
            "selector": In(SELECTOR_BITS),
            "format": In(range(max(len(formats), 2))),
            "term": In(range(max(*(f.terms_per_weight for f in formats), 2))),
            "specials": In(SPECIALS),
            "operand": Out(data.ArrayLayout(TERM, lanes)),
        })

    def build(self, m, platform):
        codes = Signal(data.ArrayLayout(max(f.bits for f in self.formats), self.lanes), reset_less=True)
        add_group_scale(m, self)
        next_selector, selector = (Signal(SELECTOR_BITS, name=n, reset_less=True) for n in ("next_selector", "sel"))

        with m.If(self.load_metadata):
            m.d.sync += next_selector.eq(self.selector)
        with m.If(self.load):
            with m.Switch(self.format):
                for index, format in enumerate(self.formats):
                    with m.Case(index):
                        taken = getattr(self, codes_port(format))
                        m.d.sync += [codes[lane].eq(taken[lane]) for lane in range(self.lanes)]
            with m.If(self.first):
                m.d.sync += selector.eq(next_selector)

        for lane in range(self.lanes):
            decoder = TermDecoder(self.formats).place(m, f"decoder_{lane}", platform)
            feed(m, self, decoder, "format", "term", "specials")
            m.d.comb += [decoder.code.eq(codes[lane]), decoder.selector.eq(selector)]
            m.d.comb += self.operand[lane].eq(registered(m, f"digit_{lane}", decoder.digit))


class CodeColumn(Part):
    """The column top of engines that multiply codes unchanged: two registers, for the timing of `BitmodColumn`.

    Throughput: a step a cycle. Latency: 2 cycles from a step's load.

    Members: `codes_<format>`, `load` and `operand` of `BitmodColumn`.
    """

    def __init__(self, format: Format, lanes: int):
        operand = Out(data.ArrayLayout(format.bits, lanes))
        super().__init__({**code_ports((format,), lanes), "operand": operand})

    def build(self, m, platform):
        codes = Signal(self.format.bits * self.lanes, reset_less=True)
        with m.If(self.load):
            m.d.sync += codes.eq(getattr(self, codes_port(self.format)))
        m.d.comb += self.operand.eq(registered(m, "operand", codes))
