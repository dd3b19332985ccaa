"""The instructions whose requests a master is working on."""

from amaranth import Mux, Signal
from amaranth.lib import memory
from amaranth.lib.wiring import In, Out

from einloom.hw.core.layouts import INDEX_BITS
from einloom.hw.part import Part
from einloom.hw.wires import members

DEPTH = 32  # requests between a unit and memory's last answer, at most: those of a ReadMaster's bursts and a few more


class RequestLog(Part):
    """Remembers the instruction of each request on its way through a ReadMaster, for error reports.

    The unit that asked may execute a later instruction when the request fails. Throughput: a request every cycle.
    Latency: 1 cycle from `put` to `culprit`, none from `refused`.

    Members
    -------
    put, index : In, a request is taken, and the number of its instruction
    checked, answered : In, see ReadMaster; requests leave in order
    refused : In(1), a request failed the window's check; otherwise memory answered one with an error
    culprit : Out, number of the instruction of the oldest request that is not checked, or not answered
    """

    def __init__(self):
        super().__init__({
            "put": In(1),
            "index": In(INDEX_BITS),
            **members(In, "checked", "answered", "refused"),
            "culprit": Out(INDEX_BITS),
        })

    def build(self, m, platform):
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
