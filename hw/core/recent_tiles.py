"""Which of a job's tiles have codes of eight bits, and where they are."""

from amaranth import Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.core.layouts import POSITION_BITS
from einloom.hw.part import Part
from einloom.hw.wires import members

# Tiles of a job: `left_out` are left out behind `sinks` tiles, and `last` is the number of the last one.
VISITED = data.StructLayout({"sinks": POSITION_BITS, "left_out": POSITION_BITS, "last": POSITION_BITS})


class RecentTiles(Part):
    """Follows a job from tile to tile, and says whether the present one is recent (spec/cache_format.py).

    It is if it is tile 0 or at most `recent` - 1 before the job's last one. So the distance to the last tile is counted
    down, and of the tile's own number only the low bits, its place, are counted. Throughput: a tile every cycle.
    Latency: 1 cycle from `start` or `advance`.

    Parameters
    ----------
    recent : tiles, a power of two.

    Members
    -------
    start : In(1), begin with the job in `visited`
    visited : In, VISITED; read while `start` is 1
    advance : In(1), go on to the next tile
    is_recent : Out(1), the present tile has codes of eight bits
    slot : Out, its place among the tiles that have
    """

    def __init__(self, recent: int):
        super().__init__({
            **members(In, "start", "advance"),
            "visited": In(VISITED),
            "is_recent": Out(1),
            "slot": Out(range(recent + 1)),
        })

    def build(self, m, platform):
        kept = (self.recent - 1).bit_length()
        before, left_out = Signal(POSITION_BITS), Signal(POSITION_BITS)  # `before` tiles come before the gap
        distance, number = Signal(POSITION_BITS), Signal(max(kept, 1))
        is_first = Signal()
        given = self.visited
        skipped = Signal(POSITION_BITS)  # between the present tile and the next, or before the first
        m.d.comb += skipped.eq(Mux(self.start, Mux(given.sinks == 0, given.left_out, 0), Mux(before == 1, left_out, 0)))
        with m.If(self.start):
            m.d.sync += [
                before.eq(given.sinks),
                left_out.eq(given.left_out),
                distance.eq(given.last - skipped),
                number.eq(skipped),
                is_first.eq(skipped == 0),
            ]
        with m.Elif(self.advance):
            m.d.sync += [
                before.eq(before - 1),
                distance.eq(distance - 1 - skipped),
                number.eq(number + 1 + skipped),
                is_first.eq(0),
            ]
        m.d.comb += [
            self.is_recent.eq(is_first | (distance < self.recent)),
            self.slot.eq(Mux(is_first, self.recent, number[:kept])),
        ]
