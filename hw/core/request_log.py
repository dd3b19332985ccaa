"""Which instruction a master's request is of, when the unit that asked has long gone on."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory
from amaranth.lib.wiring import In, Out

from einloom.hw.core.layouts import INDEX_BITS
from einloom.hw.part import Part

DEPTH = 32  # requests between a unit and memory's last answer, at most: those of a ReadMaster's bursts and a few more


class RequestLog(Part):
    """Remembers the instruction of each request on its way through a ReadMaster.

    Members
    -------
    put, index : In, a request is taken, and the number of its instruction
    checked, answered : In, see ReadMaster; requests leave in order
    refused : In(1), `culprit` is about a request that is not inside the window, else about one that memory refused
    culprit : Out, the number of the instruction that the oldest such request is of
    """

    def __init__(self):
        super().__init__({
            "put": In(1),
            "index": In(INDEX_BITS),
            "checked": In(1),
            "answered": In(1),
            "refused": In(1),
            "culprit": Out(INDEX_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.indices = indices = memory.Memory(shape=INDEX_BITS, depth=DEPTH, init=[])
        write, read = indices.write_port(), indices.read_port(domain="comb")
        checked, answered = Signal(range(DEPTH)), Signal(range(DEPTH))
        m.d.comb += [
            write.en.eq(self.put),
            write.data.eq(self.index),
            read.addr.eq(Mux(self.refused, checked, answered)),
            self.culprit.eq(read.data),
        ]
        for event, pointer in ((self.put, write.addr), (self.checked, checked), (self.answered, answered)):
            with m.If(event):
                m.d.sync += pointer.eq(pointer + 1)
        return m
