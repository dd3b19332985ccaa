"""From the issue of a term to the control signals that the PEs want some cycles later."""

from amaranth import Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.pe.timing import CONTROL, Timing
from einloom.hw.wires import flags

# A term at work, in the cycle in which its codes are decoded.
ISSUE = data.StructLayout({
    "valid": 1,
    "bsig": 3,  # shared shift of the term
    "first": 1,  # first term of a block
    "block_last": 1,  # last term of a block
    "tile_first": 1,  # the block is the first of its tile
    "tile_last": 1,  # last term of a tile
})


class ControlPipeline(Part):
    """Delays each issue into `control` as the PE's timing asks, and counts out the scale bits after each capture.

    Members
    -------
    issue : In(ISSUE)
    shift : In(1), passed on to the PEs
    control : Out(CONTROL)
    """

    def __init__(self, timing: Timing):
        super().__init__({"issue": In(ISSUE), "shift": In(1), "control": Out(CONTROL)})

    def elaborate(self, platform):
        m = Module()
        timing, control, issue = self.timing, self.control, self.issue

        def delayed(name, value, cycles):
            for n in range(cycles):
                register = Signal(len(value), name=f"{name}_{n + 1}")
                m.d.sync += register.eq(value)
                value = register
            return value

        # Without group scales a sum runs on over all blocks of its tile.
        first = issue.first if timing.scale_bits else issue.first & issue.tile_first
        m.d.comb += [
            control.bsig.eq(delayed("bsig", issue.bsig, timing.accumulate)),
            control.accumulate.eq(delayed("accumulate", issue.valid, timing.accumulate)),
            control.first.eq(delayed("first", first, timing.accumulate)),
            control.capture.eq(delayed("capture", issue.valid & issue.block_last, timing.capture)),
            control.load.eq(delayed("load", issue.valid & issue.tile_last, timing.load)),
            control.shift.eq(self.shift),
        ]
        if timing.enter is not None:
            m.d.comb += [
                control.enter.eq(delayed("enter", issue.valid, timing.enter)),
                control.renew.eq(delayed("renew", issue.first & issue.tile_first, timing.enter)),
            ]
        if timing.scale_bits:
            restart = delayed("restart", issue.block_last & issue.tile_first, timing.capture + 1)
            captured = delayed("captured", control.capture, 1)
            m.d.comb += control.restart.eq(captured & restart)
            # Blocks are at least `block_cycles` apart, so the count is over before the next capture needs it.
            left = Signal(range(timing.scale_bits + 1))
            started = delayed("aligned", control.capture, timing.align)
            with m.If(started):
                m.d.sync += left.eq(timing.scale_bits)
            with m.Elif(left != 0):
                m.d.sync += left.eq(left - 1)
            m.d.comb += control.dequantise.eq(left != 0)
        return m


class Drain(Part):
    """Counts a tile's results out of the grid.

    Members
    -------
    start : In(1), the tile's last term was issued
    tokens : In, rows that hold results, with `start`
    load : In(1), the results are in the drain registers from the next cycle on
    valid, ready : Out(1), In(1), handshake of the result at the top of the grid
    shift : Out(1), move the next row's results up
    busy : Out(1), from `start` until the last result was taken
    """

    def __init__(self, rows: int):
        super().__init__({
            "start": In(1),
            "tokens": In(range(rows + 1)),
            **flags(In, "load", "ready"),
            **flags(Out, "valid", "shift", "busy"),
        })

    def elaborate(self, platform):
        m = Module()
        tokens = Signal.like(self.tokens)
        left = Signal.like(self.tokens)
        with m.If(self.start):
            m.d.sync += [tokens.eq(self.tokens), self.busy.eq(1)]
        with m.If(self.load):
            m.d.sync += left.eq(tokens)
        m.d.comb += self.valid.eq(left != 0)
        with m.If(self.valid & self.ready):
            m.d.comb += self.shift.eq(1)
            m.d.sync += left.eq(left - 1)
            with m.If(left == 1):
                m.d.sync += self.busy.eq(0)
        return m
