"""Reads memory as a stream."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Out, connect

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.parity import corrupt_port
from einloom.hw.bus.axi import Response, axi_read, burst_limit
from einloom.hw.bus.burst_splitter import BurstSplitter
from einloom.hw.bus.master import check_requests, master_ports, put_bursts, stop_at_errors
from einloom.hw.bus.window import WindowCheck
from einloom.hw.part import Part
from einloom.hw.wires import join, members


def beat_layout(data_bits: int) -> data.StructLayout:
    """A beat of memory, and whether it is the last one of its request."""
    return data.StructLayout({"data": data_bits, "last": 1})


class ReadMaster(Part):
    """Turns requests into AXI4 read bursts, and memory's answers into one stream of beats, in order.

    A burst is announced only when the queue of beats has room for all of it. So RREADY is 1 whenever beats are due,
    whatever the consumer does.

    Throughput: a beat a cycle, also from one request to the next, if `fifo_beats` and `max_outstanding` bursts cover
    the memory's latency. Latency: ARVALID rises four cycles after an accepted request; a beat leaves one cycle (up to
    32 `fifo_beats`) or three after it came.

    `stop` or an error halts the master until `clear`: no request is taken and no burst announced, except one that
    already stands on AR. Beats still due are accepted and dropped. The rules of streams hold for the output up to
    `clear`, which withdraws buffered beats.

    Parameters
    ----------
    data_bits : width of a beat.
    address_bits : width of a byte address.
    max_burst : beats of the longest burst, a power of two.
    fifo_beats : beats that may be asked for and not yet taken.
    max_outstanding : bursts that may be asked for and not wholly answered.
    id_bits : width of ARID, which is always 0.
    parity : buffered beats have parity bits.

    Members
    -------
    request : In, stream of {offset in bytes, beats}; see `WindowCheck` for what is refused
    window_base, window_size : In, bytes; stable while a request is inside
    output : Out, stream of {data, last of its request}
    axi : Out, AXI4 read channels
    stop : In(1), halt
    clear : In(1), while `idle`: forget requests, buffered beats, the halt and the error
    idle : Out(1), memory owes nothing, and will not without another request
    error : Out, the first error
    checked : Out(1), a request has passed the check of the window
    answered : Out(1), memory has answered a whole request, without an error
    beat : Out(1), a beat is accepted from memory
    starved : Out(1), a beat is due and memory gives none
    stalled : Out(1), a burst waits because the consumer has left no room
    corrupt : Out(1), with `parity` only: the beat that was taken in the cycle before lost a bit
    """

    def __init__(
        self,
        data_bits: int,
        address_bits: int = 64,
        max_burst: int = 64,
        fifo_beats: int = 512,
        max_outstanding: int = 16,
        id_bits: int = 1,
        parity: bool = False,
    ):
        if fifo_beats < burst_limit(data_bits, max_burst):
            raise ValueError(f"fifo_beats must hold a burst of {burst_limit(data_bits, max_burst)}, not {fifo_beats!r}")
        super().__init__({
            **master_ports(address_bits),
            "output": Out(stream.Signature(beat_layout(data_bits))),
            "axi": Out(axi_read(data_bits, address_bits, id_bits)),
            **members(Out, "checked", "answered"),
            **corrupt_port(parity),
        })

    # The order of these statements is the order of registers in the netlist, on which the proof's search depends: with
    # the write master's the unbounded proof of the addresses does not end.
    def build(self, m, platform):
        window = WindowCheck(self.data_bits, self.address_bits).place(m, "window", platform)
        splitter = BurstSplitter(self.data_bits, self.address_bits, self.max_burst).place(m, "splitter", platform)
        # Bursts that memory has not wholly answered: their length and whether they end a request.
        due = StreamFifo(8 + 1, self.max_outstanding).place(m, "due", platform)
        beats = StreamFifo(self.data_bits + 1, self.fifo_beats, self.parity).place(m, "beats", platform)
        if self.parity:
            m.d.comb += self.corrupt.eq(beats.corrupt)

        halted = Signal()
        halt = Signal()
        wipe = Signal()
        connect(m, window.o, splitter.i)
        m.d.comb += [
            halt.eq(self.stop | halted),
            self.idle.eq(~self.axi.arvalid & (due.level == 0) & (halted | ~(window.busy | splitter.o.valid))),
            wipe.eq(self.clear & self.idle),
        ]
        check_requests(m, self, window, halt)
        m.d.comb += [
            self.checked.eq(window.o.valid & window.o.ready & ~halt),
            *(part.clear.eq(wipe) for part in (window, splitter, due, beats)),
        ]
        self._ask(m, splitter, due, beats, halt, wipe)
        bad = self._answer(m, due, beats, halt)
        stop_at_errors(m, self, halt=halt, halted=halted, wipe=wipe, bad=bad, refused=window.refused)

    def _ask(self, m: Module, splitter, due, beats, halt: Signal, wipe: Signal) -> None:
        """Announce bursts for which there is room."""
        burst = splitter.o.payload
        needed = Signal(9)
        free = Signal(range(self.fifo_beats + 1), init=self.fifo_beats)  # beats of room that no burst has reserved
        room = Signal()
        announce = Signal()
        taken = Signal()
        m.d.comb += [
            needed.eq(burst.len + 1),
            room.eq(burst.len < free),
            splitter.o.ready.eq(room & due.i.ready & ~halt & (~self.axi.arvalid | self.axi.arready)),
            announce.eq(splitter.o.valid & splitter.o.ready),
            due.i.valid.eq(announce),
            due.i.payload.eq(Cat(burst.len, burst.last)),
            taken.eq(beats.o.valid & beats.o.ready),
            self.stalled.eq(splitter.o.valid & ~room & ~halt),
        ]
        join(m, beats.o, self.output)
        m.d.sync += free.eq(Mux(wipe, self.fifo_beats, free - Mux(announce, needed, 0) + taken))
        put_bursts(m, self, "ar", burst, announce)

    def _answer(self, m: Module, due, beats, halt: Signal) -> Signal:
        """Take beats that are due; returns whether one is not what was asked for."""
        length = due.o.payload[:8]
        ends_request = due.o.payload[8]
        count = Signal(8)
        bad = Signal()
        m.d.comb += [
            self.axi.rready.eq(due.o.valid),
            self.beat.eq(self.axi.rvalid & self.axi.rready),
            self.starved.eq(due.o.valid & ~self.axi.rvalid),
            bad.eq(self.beat & ((self.axi.rresp != Response.OKAY) | (self.axi.rlast != (count == length)))),
            # A burst ends where memory says so: that also drains one of a wrong length, of which nothing is kept.
            due.o.ready.eq(self.beat & self.axi.rlast),
            beats.i.valid.eq(self.beat & ~halt & ~bad),
            beats.i.payload.eq(Cat(self.axi.rdata, self.axi.rlast & ends_request)),
            self.answered.eq(beats.i.valid & self.axi.rlast & ends_request),
        ]
        with m.If(self.beat):
            m.d.sync += count.eq(Mux(self.axi.rlast, 0, count + 1))
        return bad
