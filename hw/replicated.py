"""Many copies of one part, wired by rule."""

from amaranth import Cat, Shape
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part


class Replicated(Part):
    """`count` copies of a part whose ports are plain values.

    A *sliced* port is `count` times as wide; copy n has its n-th slice. A *chained* input of copy n comes from the
    output of copy n + 1; that of the last copy comes from outside, and the output of copy 0 goes outside. Other inputs
    are *shared* by all copies. In Verilog all copies are one generate loop, so they cost Python nothing. Throughput and
    latency: the part's; a chain adds none of its own.

    Parameters
    ----------
    part : the part to copy.
    count : number of copies.
    sliced : names of the sliced ports; every output is sliced or chained.
    chain : (input, output) of the part, or None.
    """

    def __init__(self, part: Part, count: int, *, sliced: tuple[str, ...], chain: tuple[str, str] | None = None):
        part._MustUse__used = True  # a pattern for copies; it is never placed itself
        ports = {}
        for name, member in part.signature.members.items():
            if name in sliced:
                ports[name] = member.flow(count * Shape.cast(member.shape).width)
            elif member.flow == In or (chain and name in chain):
                ports[name] = member.flow(member.shape)
            else:
                raise ValueError(f"output {name} must be sliced or chained")
        super().__init__(ports)

    def slice_bits(self, name: str) -> int:
        """Width of one copy's slice of a sliced port."""
        return Shape.cast(self.part.signature.members[name].shape).width

    def build(self, m, platform):
        copies = [type(self.part)(**self.part.parameters) for _ in range(self.count)]
        for n, copy in enumerate(copies):
            copy.place(m, f"copy_{n}", platform)
            for name, member in self.part.signature.members.items():
                port, outer = getattr(copy, name), getattr(self, name)
                if member.flow == In:
                    if name in self.sliced:
                        outer = outer.word_select(n, self.slice_bits(name))
                    elif self.chain and name == self.chain[0] and n + 1 < self.count:
                        outer = getattr(copies[n + 1], self.chain[1])
                    m.d.comb += port.eq(outer)
        for name, member in self.part.signature.members.items():
            if member.flow == Out:
                outputs = [getattr(copy, name) for copy in copies]
                m.d.comb += getattr(self, name).eq(Cat(outputs) if name in self.sliced else outputs[0])
