"""A lane's result in the format of the memory that it goes to."""

from amaranth import Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.vector.float32 import BITS
from einloom.hw.vector.float_convert import TO_INTEGER_LATENCY, FloatToInteger

LATENCY = TO_INTEGER_LATENCY


class StoreConverter(Part):
    """Passes a lane's result on, or the integer nearest to it. Throughput: one every cycle.

    Latency: none for the result as it is, LATENCY cycles for an integer.

    Parameters
    ----------
    widths : bits of the integers that `select` chooses from.

    Members
    -------
    value : In, float32, or any 32 bits
    select : In, index of the integer's width, one cycle after the value
    convert : In(1), an integer is taken: that of the value LATENCY cycles ago
    stored : Out, with the integer's sign extended
    """

    def __init__(self, widths: tuple[int, ...]):
        super().__init__({
            "value": In(BITS),
            "select": In(range(max(len(widths), 2))),
            "convert": In(1),
            "stored": Out(BITS),
        })

    def build(self, m, platform):
        to_integer = FloatToInteger(self.widths).place(m, "to_integer", platform)
        extended = Signal(signed(BITS))
        m.d.comb += [
            to_integer.value.eq(self.value),
            to_integer.select.eq(self.select),
            extended.eq(to_integer.result),
            self.stored.eq(Mux(self.convert, extended, self.value)),
        ]
