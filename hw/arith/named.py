"""Names for intermediate values."""

from amaranth import Module, Signal


def named(m: Module, name: str, value):
    """`value` as a combinational signal. An expression is written out wherever it is used, a signal once."""
    signal = Signal(value.shape(), name=name)
    m.d.comb += signal.eq(value)
    return signal
