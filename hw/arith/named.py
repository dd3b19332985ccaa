"""Names for intermediate values."""

from amaranth import Module, Signal


def named(m: Module, name: str, value):
    """`value` as a combinational signal, so that its logic is emitted once, however often it is used."""
    signal = Signal(value.shape(), name=name)
    m.d.comb += signal.eq(value)
    return signal
