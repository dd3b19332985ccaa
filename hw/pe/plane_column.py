"""The top of a column of look-up PEs: it turns codes into the signs and indices of one plane after the other."""

from amaranth import Array, Cat, Const, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.part import Part
from einloom.hw.pe.column import SCALE_PORTS, add_group_scale, code_ports, codes_port
from einloom.spec.formats import Format


class PlaneColumn(Part):
    """Holds a step's codes and sends one plane of digits a cycle, and the group scale bit by bit.

    The remap of spec/lookup.py happens here unless the weights come remapped; ternary codes never do. Throughput: a
    plane a cycle. Latency: 2 cycles from a step's load, 1 from `term`, to the operand, and `delays` more for each bit.

    Parameters
    ----------
    formats : the weight formats.
    sizes : lanes of each table.
    remapped : the operand is indices and signs, not digits.
    offline : codes other than ternary ones come remapped.
    signs : bits of a plane that are sent a second time.
    delays : cycles by which each bit of the operand is late.
    scale_delay : `delay` of add_group_scale; None without group scales.

    Members
    -------
    codes_<format>, load, format, term, and with group scales SCALE_PORTS : see BitmodColumn
    operand : Out, a bit per lane, lane 0 lowest; then, if a format has a zero point, a bit that is 1 in the plane in
        which it is added; then `signs`
    """

    def __init__(
        self,
        formats: tuple[Format, ...],
        sizes: tuple[int, ...],
        remapped: bool,
        offline: bool,
        signs: tuple[int, ...],
        delays: tuple[int, ...],
        scale_delay: int | None,
    ):
        self.lanes = sum(sizes)
        super().__init__({
            **code_ports(formats, self.lanes),
            **({} if scale_delay is None else SCALE_PORTS),
            "format": In(range(max(len(formats), 2))),
            "term": In(range(max(*(len(f.planes) for f in formats), 2))),
            "operand": Out(len(delays)),
        })

    def build(self, m, platform):
        if self.scale_delay is not None:
            add_group_scale(m, self, self.scale_delay)
        widest = max(f.bits for f in self.formats)
        codes = [Signal(widest, name=f"code_{lane}", reset_less=True) for lane in range(self.lanes)]
        bits = Signal(len(self.delays))
        with m.Switch(self.format):
            for index, format in enumerate(self.formats):
                with m.Case(index):
                    taken = getattr(self, codes_port(format))
                    with m.If(self.load):
                        m.d.sync += [code.eq(taken[lane]) for lane, code in enumerate(codes)]
                    m.d.comb += bits.eq(self._with_others(format, self._plane(format, codes)))
        for n, delay in enumerate(self.delays):
            m.d.comb += self.operand[n].eq(delayed(m, f"bit_{n}", bits[n], 1 + delay))

    def _plane(self, format: Format, codes):
        """The operand's bits of the plane `term`."""
        planes = range(len(format.planes))
        if self.offline and not format.in_trits:  # they come remapped
            return Cat(Array(code[p] for p in planes)[self.term] for code in codes)
        # A word for each plane: its bit c is 1 if the digit of code c is +1.
        words = [
            Const(sum((digits >> p & 1) << code for code, digits in enumerate(format.digits)), 1 << format.bits)
            for p in planes
        ]
        digits = [Array(w.bit_select(code[: format.bits], 1) for w in words)[self.term] for code in codes]
        return Cat(self._remap(digits) if self.remapped else digits)

    def _remap(self, digits):
        operand, start = [], 0
        for size in self.sizes:
            *others, last = digits[start : start + size]
            operand += [*(other ^ ~last for other in others), ~last]
            start += size
        return operand

    def _with_others(self, format: Format, plane):
        """`plane` and the bits of the operand above it."""
        signs = [plane[n] for n in self.signs]
        if any(f.zero for f in self.formats):
            signs.insert(0, (self.term == format.planes.index(0)) if format.zero else Const(0, 1))
        return Cat(plane, *signs)
