"""Writes a stream to memory."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.bus.axi import Response, axi_write
from einloom.hw.bus.burst_splitter import BurstSplitter
from einloom.hw.bus.master import check_requests, master_ports, put_bursts, stop_at_errors
from einloom.hw.bus.window import WindowCheck
from einloom.hw.part import Part


def strobed_layout(data_bits: int) -> data.StructLayout:
    """A beat for memory, and which of its bytes to write."""
    return data.StructLayout({"data": data_bits, "strobe": data_bits // 8})


class WriteMaster(Part):
    """Turns requests and a stream of beats into AXI4 write bursts.

    The data stream has the beats of one request behind those of the other. Bursts are announced ahead of their data, up
    to `max_outstanding` unanswered ones. W never waits for AW to be accepted, as AXI demands.

    Throughput: a beat a cycle, also from one request to the next. Latency: 1 cycle from the stream to W; AWVALID rises
    four cycles after an accepted request.

    `stop` or an error halts the master until `clear`: no request and no beat is taken and no burst announced, except
    one that already stands on AW. Announced bursts are completed with strobes of 0. No request is `done` any more.

    Parameters
    ----------
    data_bits : width of a beat.
    address_bits : width of a byte address.
    max_burst : beats of the longest burst, a power of two.
    max_outstanding : bursts that may be announced and not answered.
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
    idle : Out(1), memory has answered all announced bursts; none will follow without another request
    error : Out, the first error
    beat : Out(1), a beat is accepted by memory
    starved : Out(1), memory could take a beat of an announced burst and the stream gives none
    stalled : Out(1), a beat waits for memory
    """

    def __init__(
        self, data_bits: int, address_bits: int = 64, max_burst: int = 64, max_outstanding: int = 16, id_bits: int = 1
    ):
        super().__init__({
            **master_ports(address_bits),
            "data": In(stream.Signature(strobed_layout(data_bits))),
            "axi": Out(axi_write(data_bits, address_bits, id_bits)),
            "done": Out(1),
        })

    def build(self, m, platform):
        window = WindowCheck(self.data_bits, self.address_bits).place(m, "window", platform)
        splitter = BurstSplitter(self.data_bits, self.address_bits, self.max_burst).place(m, "splitter", platform)
        halt = Signal()
        wipe = Signal()
        halted = Signal()
        connect(m, window.o, splitter.i)
        m.d.comb += halt.eq(self.stop | halted)
        check_requests(m, self, window, halt)
        # Announced bursts: the lengths of those that still need beats, and whether those unanswered end a request.
        unsent = StreamFifo(8, self.max_outstanding).place(m, "unsent", platform)
        unanswered = StreamFifo(1, self.max_outstanding).place(m, "unanswered", platform)
        self._announce(m, splitter.o, unsent, unanswered, halt)
        self._send(m, unsent, halt)
        bad = self._answers(m, unanswered, halt)
        quiet = ~self.axi.awvalid & ~self.axi.wvalid & (unsent.level == 0) & (unanswered.level == 0)
        m.d.comb += [
            self.idle.eq(quiet & (halted | ~(window.busy | splitter.o.valid))),
            wipe.eq(self.clear & self.idle),
            *(part.clear.eq(wipe) for part in (window, splitter, unsent, unanswered)),
        ]
        stop_at_errors(m, self, halt=halt, halted=halted, wipe=wipe, bad=bad, refused=window.refused)

    def _announce(self, m: Module, bursts, unsent, unanswered, halt: Signal) -> None:
        """Put bursts onto AW."""
        room = unsent.i.ready & unanswered.i.ready
        announce = Signal()
        m.d.comb += [
            bursts.ready.eq(room & ~halt & (~self.axi.awvalid | self.axi.awready)),
            announce.eq(bursts.valid & bursts.ready),
        ]
        put_bursts(m, self, "aw", bursts.payload, announce)
        m.d.comb += [
            unsent.i.valid.eq(announce),
            unsent.i.payload.eq(bursts.payload.len),
            unanswered.i.valid.eq(announce),
            unanswered.i.payload.eq(bursts.payload.last),
        ]

    def _send(self, m: Module, unsent, halt: Signal) -> None:
        """Put beats onto W. The beat that stands there must not change; behind it a halt empties the strobes."""
        count = Signal(8)
        last, free, send = Signal(), Signal(), Signal()
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
        answered, bad = Signal(), Signal()
        m.d.comb += [
            self.axi.bready.eq(unanswered.o.valid),
            answered.eq(self.axi.bvalid & self.axi.bready),
            unanswered.o.ready.eq(answered),
            bad.eq(answered & (self.axi.bresp != Response.OKAY)),
        ]
        m.d.sync += self.done.eq(answered & unanswered.o.payload & ~bad & ~halt)
        return bad
