"""The order of an attention job's tiles of keys and values."""

from amaranth import Module, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.core.layouts import POSITION_BITS
from einloom.hw.part import Part


class TileOrder(Part):
    """Counts K0, K1, V0, K2, V1 and so on up to the last tile's values: values follow their keys by one tile.

    Behind the first keys, keys and values alternate up to the last keys, and two tiles of values end a job of more than
    one. So what follows is known from the kind of the present tile and the number of keys, and all outputs are
    registers: what they say is the start of long paths.

    Members
    -------
    start : In(1), begin with `tiles` tiles, which are not 0, and stable from the next cycle up to the end
    advance : In(1), on to the next; only while `active`
    active : Out(1), there is a present one
    is_values : Out(1), it is a tile of values
    last : Out(1), none follows
    """

    def __init__(self):
        super().__init__({
            "start": In(1),
            "tiles": In(POSITION_BITS),
            "advance": In(1),
            "active": Out(1),
            "is_values": Out(1),
            "last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        keys = Signal(POSITION_BITS)  # tiles of them, up to the present one
        all_keys = Signal()
        first = Signal()
        m.d.comb += all_keys.eq(keys == self.tiles)
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), self.is_values.eq(0), self.last.eq(0), first.eq(1), keys.eq(1)]
        with m.Elif(self.advance):
            m.d.sync += [first.eq(0), self.active.eq(~self.last)]
            with m.If(self.is_values | (first & ~all_keys)):
                m.d.sync += [self.is_values.eq(all_keys), self.last.eq(all_keys), keys.eq(keys + 1)]
            with m.Else():
                m.d.sync += [self.is_values.eq(1), self.last.eq(first)]
        return m
