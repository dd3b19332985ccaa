"""The order of an attention job's tiles of keys and values."""

from amaranth import Module, Signal
from amaranth.lib.wiring import In, Out

from hw.core.layouts import POSITION_BITS
from hw.part import Part


class TileOrder(Part):
    """Counts K0, K1, V0, K2, V1 and so on up to the last tile's values: values follow their keys by one tile.

    Members
    -------
    start : In(1), begin with `tiles` tiles, stable up to the end and not 0
    advance : In(1), on to the next
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
        keys, values = Signal(POSITION_BITS), Signal(POSITION_BITS)  # tiles that are past
        m.d.comb += [
            self.is_values.eq((keys == self.tiles) | (values + 2 <= keys)),
            self.last.eq(values == self.tiles - 1),
        ]
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), keys.eq(0), values.eq(0)]
        with m.Elif(self.advance):
            with m.If(self.is_values):
                m.d.sync += values.eq(values + 1)
                with m.If(self.last):
                    m.d.sync += self.active.eq(0)
            with m.Else():
                m.d.sync += keys.eq(keys + 1)
        return m
