"""Values of earlier cycles."""

from amaranth import Module, Signal


def delayed(m: Module, name: str, value, cycles: int):
    """`value` so many cycles ago."""
    for stage in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{stage}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
