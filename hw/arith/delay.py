"""Values of earlier cycles."""

from collections.abc import Collection, Mapping

from amaranth import Module, Signal


def delayed(m: Module, name: str, value, cycles: int, *, reset_less: bool = True):
    """`value` so many cycles ago."""
    for stage in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{stage}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value


def registered(m: Module, name: str, value, shape=None):
    """`value` of the cycle before, of the value's own shape unless another is given; without a reset."""
    register = Signal(value.shape() if shape is None else shape, name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


class Delays:
    """Values of earlier cycles by name; each value is registered as often as its latest use asks, and shared by all.

    Parameters
    ----------
    values : the values of the present cycle.
    resets : names of those whose registers a reset clears.
    """

    def __init__(self, m: Module, values: Mapping[str, object], resets: Collection[str] = ()):
        self._m = m
        self._resets = resets
        self._taps = {name: [value] for name, value in values.items()}

    def at(self, name: str, cycles: int):
        """The value of that name so many cycles ago."""
        taps = self._taps[name]
        while len(taps) <= cycles:
            reset_less = name not in self._resets
            register = Signal(taps[0].shape(), name=f"{name}_{len(taps)}", reset_less=reset_less)
            self._m.d.sync += register.eq(taps[-1])
            taps.append(register)
        return taps[cycles]
