"""The top of a column: what the codes of one output channel become before they go down to the PEs."""

from amaranth import Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.arith.terms import SPECIALS, TERM, TermDecoder
from einloom.hw.part import Part
from einloom.hw.wires import flags
from einloom.spec.formats import SCALE_BITS, SELECTOR_BITS, Format


def codes_port(format: Format) -> str:
    """The column's port for the codes of `format`."""
    return f"codes_{format.name.replace('-', '_')}"


def code_ports(formats: tuple[Format, ...], lanes: int) -> dict:
    """The ports of a step's codes and their `load`."""
    return {**{codes_port(f): In(data.ArrayLayout(f.bits, lanes)) for f in formats}, "load": In(1)}


SCALE_PORTS = {
    "scale": In(SCALE_BITS),
    **flags(In, "load_metadata", "first", "last", "capture", "dequantise"),
    "scale_bit": Out(1),
}
"""Of column tops with group scales; BitmodColumn says what they mean."""


def add_group_scale(m: Module, column, delay: int = 0) -> None:
    """The group scale's way through a column top with SCALE_PORTS: waiting, at work, ended, and bit by bit.

    An ended group's scale is kept until the next group ends, both `delay` cycles late: for PEs whose capture comes
    later than that.
    """
    next_scale, scale, ended_scale, scale_shift = (
        Signal(SCALE_BITS, name=n, reset_less=True) for n in ("next_scale", "scale", "ended_scale", "scale_shift")
    )
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

    A group's metadata may arrive while the group before it is still at work: it waits in a register until the first
    step of its group is loaded. Latency: codes to terms 1 cycle after the step was loaded.

    Parameters
    ----------
    formats : the weight formats.
    lanes : codes per step.

    Members
    -------
    codes_<format> : In, for each format: `lanes` codes, from where its step word has them
    load : In(1), take the codes of the chosen format
    scale, selector : In, metadata of the next group
    load_metadata : In(1), take them
    first : In(1), the codes taken with `load` start the next group
    format, term, specials : In, as in TermDecoder
    last : In(1), the group's last term is at work; its scale will be wanted soon
    capture, dequantise : In(1), load the scale; it was used for one bit
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

    def elaborate(self, platform):
        m = Module()
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
            m.d.comb += [
                decoder.code.eq(codes[lane]),
                decoder.format.eq(self.format),
                decoder.term.eq(self.term),
                decoder.selector.eq(selector),
                decoder.specials.eq(self.specials),
            ]
            digit = Signal(TERM, name=f"digit_{lane}", reset_less=True)
            m.d.sync += digit.eq(decoder.digit)
            m.d.comb += self.operand[lane].eq(digit)
        return m


class CodeColumn(Part):
    """The column top of engines that multiply codes as they are: two registers, for the timing of `BitmodColumn`.

    Members: `codes_<format>`, `load` and `operand` of `BitmodColumn`.
    """

    def __init__(self, format: Format, lanes: int):
        operand = Out(data.ArrayLayout(format.bits, lanes))
        super().__init__({**code_ports((format,), lanes), "operand": operand})

    def elaborate(self, platform):
        m = Module()
        codes = Signal(self.format.bits * self.lanes, reset_less=True)
        operand = Signal.like(codes, reset_less=True)
        with m.If(self.load):
            m.d.sync += codes.eq(getattr(self, codes_port(self.format)))
        m.d.sync += operand.eq(codes)
        m.d.comb += self.operand.eq(operand)
        return m
