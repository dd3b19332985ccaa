"""The front of the write master, from requests to bursts, and how it stops; and the ports of every master."""

from amaranth import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect

from einloom.hw.bus.axi import BusError, drive_constants
from einloom.hw.bus.burst_splitter import BurstSplitter
from einloom.hw.bus.window import WindowCheck, request_layout
from einloom.hw.wires import members


def master_ports(address_bits: int) -> dict:
    """Ports of every master; ReadMaster says what they mean."""
    return {
        "request": In(stream.Signature(request_layout())),
        **members(In, "window_base", "window_size", shape=address_bits),
        **members(In, "stop", "clear"),
        "error": Out(BusError),
        **members(Out, "idle", "beat", "starved", "stalled"),
    }


class Front:
    """Checks the requests of `master` and cuts them into bursts, until it halts.

    Attributes
    ----------
    window : the check; `checked` and `refused` requests leave it.
    bursts : stream of bursts.
    halt : no request is taken and no burst announced.
    wipe : all is forgotten.
    """

    def __init__(self, m: Module, master, platform):
        self.master = master
        self.window = WindowCheck(master.data_bits, master.address_bits).place(m, "window", platform)
        self._splitter = BurstSplitter(master.data_bits, master.address_bits, master.max_burst)
        self._splitter.place(m, "splitter", platform)
        self.bursts = self._splitter.o
        self.halt, self.wipe, self._halted = Signal(name="halt"), Signal(name="wipe"), Signal(name="halted")
        connect(m, self.window.o, self._splitter.i)
        m.d.comb += [
            self.halt.eq(master.stop | self._halted),
            self.window.base.eq(master.window_base),
            self.window.size.eq(master.window_size),
            self.window.i.payload.eq(master.request.payload),
            self.window.i.valid.eq(master.request.valid & ~self.halt),
            master.request.ready.eq(self.window.i.ready & ~self.halt),
        ]

    def announce(self, m: Module, channel: str, room) -> Signal:
        """Put bursts onto the channel `ar` or `aw` while there is `room`; returns whether one is put there."""
        axi, burst = self.master.axi, self.bursts
        valid, ready = getattr(axi, f"{channel}valid"), getattr(axi, f"{channel}ready")
        announce = Signal(name="announce")
        m.d.comb += [burst.ready.eq(room & ~self.halt & (~valid | ready)), announce.eq(burst.valid & burst.ready)]
        drive_constants(m, axi, channel, self.master.data_bits)
        with m.If(announce):
            m.d.sync += [
                getattr(axi, f"{channel}addr").eq(burst.payload.address),
                getattr(axi, f"{channel}len").eq(burst.payload.len),
                valid.eq(1),
            ]
        with m.Elif(ready):
            m.d.sync += valid.eq(0)
        return announce

    def stop(self, m: Module, *, quiet, bad, queues) -> None:
        """Halt at an error, and forget it at `clear`.

        Parameters
        ----------
        quiet : nothing is announced, and memory owes nothing.
        bad : memory answers with an error.
        queues : what else is to be cleared.
        """
        master, window = self.master, self.window
        m.d.comb += [
            master.idle.eq(quiet & (self._halted | ~(window.busy | self.bursts.valid))),
            self.wipe.eq(master.clear & master.idle),
            *(part.clear.eq(self.wipe) for part in (window, self._splitter, *queues)),
        ]
        with m.If(self.wipe):
            m.d.sync += [self._halted.eq(0), master.error.eq(BusError.NONE)]
        with m.Else():
            m.d.sync += self._halted.eq(self.halt | bad | window.refused)
            with m.If((master.error == BusError.NONE) & ~self.halt):
                with m.If(bad):
                    m.d.sync += master.error.eq(BusError.RESPONSE)
                with m.Elif(window.refused):
                    m.d.sync += master.error.eq(BusError.WINDOW)
