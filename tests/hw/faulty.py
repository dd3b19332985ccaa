"""Parts with a planted fault at one of their ports, which their own tests must find."""

from collections.abc import Callable

from amaranth import Module, Signal, Value
from amaranth.lib.wiring import In

from einloom.hw.part import Part
from einloom.sim.bench.part_ports import ports_of

Change = Callable[[Module, Value], Value]


class Faulty(Part):
    """`part`, but what goes through some of its ports is changed on the way.

    Parameters
    ----------
    changes : by the flat name of a plain port, or that of a stream and `payload`, `valid` or `ready`.
    swapped : two outputs, each in the place of the other.
    """

    def __init__(self, part: Part, changes: dict[str, Change], swapped: tuple[str, str] | None = None) -> None:
        self.inner = part
        for name, value in part.parameters.items():
            setattr(self, name, value)  # the tests ask for them
        super().__init__(dict(part.signature.members))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.inner.place(m, "inner", platform)
        inner, outer = (dict(_flat(part)) for part in (self.inner, self))
        left = set(self.changes)
        for name, (is_input, here) in inner.items():
            there = outer[name][1]
            if self.swapped and name in self.swapped:
                there = outer[self.swapped[1 - self.swapped.index(name)]][1]
            source, sink = (there, here) if is_input else (here, there)
            if name in self.changes:
                source = self.changes[name](m, source)
                left.remove(name)
            m.d.comb += sink.eq(source)
        assert not left, f"there is no port {left}"
        return m


def _flat(part: Part):
    for path, member, value in part.signature.flatten(part):
        yield "_".join(map(str, path)), (member.flow == In, Value.cast(value))


class Swallowing(Faulty):
    """`part`, which loses word `number` of the output stream `stream`."""

    def __init__(self, part: Part, stream: str, number: int) -> None:
        self.changes: dict[str, Change] = {}
        self.swapped = None
        super().__init__(part, {})

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        inner, outer = ports_of(self.inner)[0][self.stream], ports_of(self)[0][self.stream]
        count = Signal(range(self.number + 2))
        lost = count == self.number
        with m.If(inner.valid.value & inner.ready.value & (count <= self.number)):
            m.d.sync += count.eq(count + 1)
        with m.If(lost):
            m.d.comb += [outer.valid.value.eq(0), inner.ready.value.eq(1)]
        return m
