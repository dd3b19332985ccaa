"""Cuts requests for memory into the bursts that AXI allows."""

from amaranth import Cat, Const, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.axi import beat_bytes, burst_limit
from einloom.hw.part import Part

BEATS_BITS = 24


def span_layout(address_bits: int, beats_bits: int = BEATS_BITS) -> data.StructLayout:
    """Consecutive beats from a byte address on."""
    return data.StructLayout({"address": address_bits, "beats": beats_bits})


def burst_layout(address_bits: int) -> data.StructLayout:
    """A burst in AXI's terms (`len` is beats - 1), and whether it ends its request."""
    return data.StructLayout({"address": address_bits, "len": 8, "last": 1})


class BurstSplitter(Part):
    """Cuts requests into bursts that end at multiples of the longest burst, so that none crosses 4 KiB.

    The first burst of a request is shorter when its address is not such a multiple. Every other burst starts at one, so
    the next address needs no adder behind the length. Bursts are computed a cycle ahead, because a master compares
    their length with its room in the cycle in which they are offered.

    Throughput: a burst a cycle, without a gap between requests. Latency: 1 cycle. A request for no beats is swallowed.
    The low bits of an address, inside a beat, must be 0.

    Parameters
    ----------
    data_bits : width of a beat.
    address_bits : width of a byte address.
    max_burst : beats of the longest burst, a power of two; 4 KiB when those are fewer.
    beats_bits : width of the number of beats in a request.

    Members
    -------
    i : In, stream of {address, beats}
    o : Out, stream of {address, len, last}
    clear : In(1), forget the request
    """

    def __init__(self, data_bits: int, address_bits: int = 64, max_burst: int = 64, beats_bits: int = BEATS_BITS):
        self.limit = burst_limit(data_bits, max_burst)
        super().__init__({
            "i": In(stream.Signature(span_layout(address_bits, beats_bits))),
            "o": Out(stream.Signature(burst_layout(address_bits))),
            "clear": In(1),
        })

    def build(self, m, platform):
        inside = beat_bytes(self.data_bits).bit_length() - 1  # address bits inside a beat
        within = self.limit.bit_length() - 1  # address bits that count beats inside the longest burst
        active, sent = Signal(), Signal()
        address = Signal(self.address_bits, reset_less=True)
        behind = Signal(self.beats_bits, reset_less=True)  # beats of the request, less one
        length = Signal(8, reset_less=True)  # of the burst, less one
        last = Signal(reset_less=True)
        m.d.comb += [
            self.o.payload.address.eq(address),
            self.o.payload.len.eq(length),
            self.o.payload.last.eq(last),
            self.o.valid.eq(active),
            sent.eq(active & self.o.ready),
            self.i.ready.eq(~active | (sent & last)),
        ]

        def burst(beats, room):
            """Compute the next one: `beats` + 1 are left, and `room` + 1 fit up to the next multiple."""
            ends = beats <= room
            m.d.sync += [behind.eq(beats), last.eq(ends), length.eq(Mux(ends, beats, room))]

        asked, left = Signal(self.beats_bits), Signal(self.beats_bits)
        m.d.comb += [asked.eq(self.i.payload.beats - 1), left.eq(behind - length - 1)]
        with m.If(self.i.ready):
            m.d.sync += [active.eq(self.i.valid & (self.i.payload.beats != 0)), address.eq(self.i.payload.address)]
            burst(asked, ~self.i.payload.address[inside : inside + within])
        with m.Elif(sent):
            # All further bursts start at multiples of the longest one.
            m.d.sync += address.eq(Cat(Const(0, inside + within), address[inside + within :] + 1))
            burst(left, Const(self.limit - 1, within))
        with m.If(self.clear):
            m.d.sync += active.eq(0)
