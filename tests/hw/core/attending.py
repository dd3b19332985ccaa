"""An attention part together with what prepares its instructions."""

from amaranth import Module, Value
from amaranth.lib.wiring import In

from einloom.hw.core.attend_extent import AttendExtent
from einloom.hw.part import Part

OWN = ("prepared", "extent")
"""Ports of the attention part that AttendExtent drives."""


class Attending(Part):
    """`part`, an AttentionUnit or AttentionLanes, with an AttendExtent as the machine places it.

    Members
    -------
    skip : In(1), see AttendExtent; all others as `part`
    """

    def __init__(self, part: Part) -> None:
        for name, value in part.parameters.items():
            setattr(self, name, value)  # the tests ask for them
        ports = {name: member for name, member in part.signature.members.items() if name not in OWN}
        super().__init__({**ports, "skip": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inner = self.part.place(m, "inner", platform)
        extent = AttendExtent(inner.lanes, inner.cache).place(m, "attend_extent", platform)
        for path, member, there in inner.signature.flatten(inner):
            if path[0] in OWN:
                continue
            here = self
            for step in path:
                here = here[step] if isinstance(step, int) else getattr(here, step)
            source, sink = (here, there) if member.flow == In else (there, here)
            m.d.comb += Value.cast(sink).eq(Value.cast(source))
        m.d.comb += [
            extent.payload.eq(inner.instruction.payload),
            extent.valid.eq(inner.instruction.valid),
            extent.taken.eq(inner.instruction.ready),
            extent.chunk.eq(self.chunk),
            extent.skip.eq(self.skip),
            inner.prepared.eq(extent.ready),
            inner.extent.eq(extent.extent),
        ]
        return m
