"""The order of an attention job's tiles of keys and values."""

from amaranth import Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.core.layouts import POSITION_BITS
from einloom.hw.part import Part
from einloom.hw.wires import members


class TileOrder(Part):
    """Counts K0, K1, V0, K2, V1 and so on up to the last tile's values: values follow their keys by one tile.

    After K0 and K1, values and keys alternate up to the last keys; a job of more than one tile ends with two tiles of
    values. So the next tile follows from the kind of the present one and the number of keys so far. All outputs are
    registers, because they feed long paths. Throughput: a tile every cycle. Latency: 1 cycle from `start` or `advance`.

    Members
    -------
    start : In(1), begin
    tiles : In, their number, not 0; stable from the cycle after `start` up to the end
    advance : In(1), go on to the next tile; only while `active`
    active : Out(1), there is a present tile
    is_values : Out(1), it is one of values
    last : Out(1), none follows it
    """

    def __init__(self):
        super().__init__({
            "start": In(1),
            "tiles": In(POSITION_BITS),
            "advance": In(1),
            **members(Out, "active", "is_values", "last"),
        })

    def build(self, m, platform):
        keys = Signal(POSITION_BITS)  # tiles of keys up to the present tile
        all_keys, first = Signal(), Signal()
        m.d.comb += all_keys.eq(keys == self.tiles)
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), self.is_values.eq(0), self.last.eq(0), first.eq(1), keys.eq(1)]
        with m.Elif(self.advance):
            m.d.sync += [first.eq(0), self.active.eq(~self.last)]
            with m.If(self.is_values | (first & ~all_keys)):
                m.d.sync += [self.is_values.eq(all_keys), self.last.eq(all_keys), keys.eq(keys + 1)]
            with m.Else():
                m.d.sync += [self.is_values.eq(1), self.last.eq(first)]
