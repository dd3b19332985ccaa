"""Writes a stream to memory."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.bus.axi import BusError, Response, axi_write, beat_bytes, drive_constants
from einloom.hw.bus.burst_splitter import BurstSplitter
from einloom.hw.bus.window import WindowCheck, request_layout
from einloom.hw.part import Part


def strobed_layout(data_bits: int) -> data.StructLayout:
    """A beat, and which of its bytes to write."""
    return data.StructLayout({"data": data_bits, "strobe": beat_bytes(data_bits)})


class WriteMaster(Part):
    """Turns requests and a stream of beats into AXI4 write bursts.

    The beats of the requests follow each other in the data stream. A beat in every cycle, one cycle behind the stream;
    bursts are announced ahead of their data, up to `max_outstanding` unanswered ones, and the next request's follow
    without a gap. AWVALID rises four cycles after an accepted request. W never waits for AW to be accepted, as AXI
    demands.

    `stop` or an error halts the master until `clear`: no request and no beat is taken and no burst announced, except
    one that already stands on AW; what was announced is completed with strobes of 0, and no request is done any more.

    Parameters
    ----------
    data_bits : width of a beat.
    address_bits : width of a byte address.
    max_burst : beats of the longest burst, a power of two.
    max_outstanding : bursts announced and not answered.
    id_bits : width of AWID, which is always 0.

    Members
    -------
    request : In, stream of {offset in bytes, beats}; see `WindowCheck` for what is refused
    window_base, window_size : In, bytes; stable while a request is inside
    data : In, stream of {data, strobe}
    axi : Out, AXI4 write channels
    done : Out(1), a pulse for each request, in order, the cycle after its last response
    stop : In(1), halt
    clear : In(1), while `idle`: forget requests, the halt and the error
    idle : Out(1), memory has answered all that was announced, and nothing will be without another request
    error : Out, the first error
    beat : Out(1), a beat is accepted by memory
    starved : Out(1), memory could take a beat of an announced burst and the stream gives none
    stalled : Out(1), a beat waits for memory
    """

    def __init__(
        self,
        data_bits: int,
        address_bits: int = 64,
        max_burst: int = 64,
        max_outstanding: int = 16,
        id_bits: int = 1,
    ):
        super().__init__({
            "request": In(stream.Signature(request_layout())),
            "window_base": In(address_bits),
            "window_size": In(address_bits),
            "data": In(stream.Signature(strobed_layout(data_bits))),
            "axi": Out(axi_write(data_bits, address_bits, id_bits)),
            "done": Out(1),
            "stop": In(1),
            "clear": In(1),
            "idle": Out(1),
            "error": Out(BusError),
            "beat": Out(1),
            "starved": Out(1),
            "stalled": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        window = WindowCheck(self.data_bits, self.address_bits).place(m, "window", platform)
        splitter = BurstSplitter(self.data_bits, self.address_bits, self.max_burst).place(m, "splitter", platform)
        # Announced bursts: the lengths of those that still need beats, and whether those unanswered end a request.
        unsent = StreamFifo(8, self.max_outstanding).place(m, "unsent", platform)
        unanswered = StreamFifo(1, self.max_outstanding).place(m, "unanswered", platform)

        halted = Signal()
        halt = Signal()
        wipe = Signal()
        connect(m, window.o, splitter.i)
        m.d.comb += [
            halt.eq(self.stop | halted),
            self.idle.eq(
                ~self.axi.awvalid
                & ~self.axi.wvalid
                & (unsent.level == 0)
                & (unanswered.level == 0)
                & (halted | ~(window.busy | splitter.o.valid))
            ),
            wipe.eq(self.clear & self.idle),
            window.base.eq(self.window_base),
            window.size.eq(self.window_size),
            window.i.payload.eq(self.request.payload),
            window.i.valid.eq(self.request.valid & ~halt),
            self.request.ready.eq(window.i.ready & ~halt),
        ]
        m.d.comb += [part.clear.eq(wipe) for part in (window, splitter, unsent, unanswered)]
        self._announce(m, splitter, unsent, unanswered, halt)
        self._send(m, unsent, halt)
        bad = self._answers(m, unanswered, halt)

        with m.If(wipe):
            m.d.sync += [halted.eq(0), self.error.eq(BusError.NONE)]
        with m.Else():
            m.d.sync += halted.eq(halt | bad | window.refused)
            with m.If((self.error == BusError.NONE) & ~halt):
                with m.If(bad):
                    m.d.sync += self.error.eq(BusError.RESPONSE)
                with m.Elif(window.refused):
                    m.d.sync += self.error.eq(BusError.WINDOW)
        return m

    def _announce(self, m: Module, splitter, unsent, unanswered, halt: Signal) -> None:
        """Bursts onto AW."""
        burst = splitter.o.payload
        announce = Signal()
        m.d.comb += [
            splitter.o.ready.eq(
                unsent.i.ready & unanswered.i.ready & ~halt & (~self.axi.awvalid | self.axi.awready),
            ),
            announce.eq(splitter.o.valid & splitter.o.ready),
            unsent.i.valid.eq(announce),
            unsent.i.payload.eq(burst.len),
            unanswered.i.valid.eq(announce),
            unanswered.i.payload.eq(burst.last),
        ]
        drive_constants(m, self.axi, "aw", self.data_bits)
        with m.If(announce):
            m.d.sync += [
                self.axi.awaddr.eq(burst.address),
                self.axi.awlen.eq(burst.len),
                self.axi.awvalid.eq(1),
            ]
        with m.Elif(self.axi.awready):
            m.d.sync += self.axi.awvalid.eq(0)

    def _send(self, m: Module, unsent, halt: Signal) -> None:
        """Beats onto W: what stands there must not change, so a halt empties the strobes of those behind it."""
        count = Signal(8)
        last = Signal()
        free = Signal()
        send = Signal()
        m.d.comb += [
            free.eq(~self.axi.wvalid | self.axi.wready),
            last.eq(count == unsent.o.payload),
            send.eq(unsent.o.valid & free & (self.data.valid | halt)),
            self.data.ready.eq(unsent.o.valid & free & ~halt),
            unsent.o.ready.eq(send & last),
            self.beat.eq(self.axi.wvalid & self.axi.wready),
            self.starved.eq(self.data.ready & ~self.data.valid),
            self.stalled.eq(self.axi.wvalid & ~self.axi.wready),
        ]
        with m.If(free):
            m.d.sync += [
                self.axi.wvalid.eq(send),
                self.axi.wlast.eq(last),
                self.axi.wdata.eq(self.data.payload.data),
                self.axi.wstrb.eq(Mux(halt, 0, self.data.payload.strobe)),
            ]
        with m.If(send):
            m.d.sync += count.eq(Mux(last, 0, count + 1))

    def _answers(self, m: Module, unanswered, halt: Signal) -> Signal:
        """Take responses; returns whether one is an error."""
        answered = Signal()
        bad = Signal()
        m.d.comb += [
            self.axi.bready.eq(unanswered.o.valid),
            answered.eq(self.axi.bvalid & self.axi.bready),
            unanswered.o.ready.eq(answered),
            bad.eq(answered & (self.axi.bresp != Response.OKAY)),
        ]
        m.d.sync += self.done.eq(answered & unanswered.o.payload & ~bad & ~halt)
        return bad
