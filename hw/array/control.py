"""From the issue of a term to the control signals of the PEs some cycles later."""

from amaranth import Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import Delays, delayed
from einloom.hw.part import Part
from einloom.hw.pe.timing import CONTROL, Timing
from einloom.hw.wires import members

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
    """Delays each issue into `control` as `timing` asks, and counts the scale bits after each capture.

    Throughput: an issue every cycle, and a capture in `Timing.block_cycles`. Latency: `Timing`; none for `shift`.

    Members
    -------
    issue : In(ISSUE)
    shift : In(1), passed on to the PEs at once
    control : Out(CONTROL)
    """

    def __init__(self, timing: Timing):
        super().__init__({"issue": In(ISSUE), "shift": In(1), "control": Out(CONTROL)})

    def build(self, m, platform):
        timing, control, issue = self.timing, self.control, self.issue
        starts_tile = issue.first & issue.tile_first
        values = {
            "bsig": issue.bsig,
            "valid": issue.valid,
            # Without group scales a sum runs on over all blocks of its tile.
            "first": issue.first if timing.scale_bits else starts_tile,
            "renew": starts_tile,
            "block_last": issue.valid & issue.block_last,
            "tile_last": issue.valid & issue.tile_last,
            "restart": issue.block_last & issue.tile_first,
        }
        issued = Delays(m, values, resets=values)
        m.d.comb += [
            control.bsig.eq(issued.at("bsig", timing.accumulate)),
            control.accumulate.eq(issued.at("valid", timing.accumulate)),
            control.first.eq(issued.at("first", timing.accumulate)),
            control.capture.eq(issued.at("block_last", timing.capture)),
            control.load.eq(issued.at("tile_last", timing.load)),
            control.shift.eq(self.shift),
        ]
        if timing.enter is not None:
            m.d.comb += [
                control.enter.eq(issued.at("valid", timing.enter)),
                control.renew.eq(issued.at("renew", timing.enter)),
            ]
        if timing.scale_bits:
            captured = delayed(m, "captured", control.capture, 1, reset_less=False)
            m.d.comb += control.restart.eq(captured & issued.at("restart", timing.capture + 1))
            # Captures are at least `block_cycles` apart, so the count ends before the next one.
            left = Signal(range(timing.scale_bits + 1))
            with m.If(delayed(m, "aligned", control.capture, timing.align, reset_less=False)):
                m.d.sync += left.eq(timing.scale_bits)
            with m.Elif(left != 0):
                m.d.sync += left.eq(left - 1)
            m.d.comb += control.dequantise.eq(left != 0)


class Drain(Part):
    """Shifts a tile's results out of the grid and counts them.

    Throughput: a row every cycle. Latency: 1 cycle from `load` to the first result.

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
            **members(In, "start", "load", "ready"),
            "tokens": In(range(rows + 1)),
            **members(Out, "valid", "shift", "busy"),
        })

    def build(self, m, platform):
        tokens, left = Signal.like(self.tokens), Signal.like(self.tokens)
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
