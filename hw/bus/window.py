"""Checks that a master's requests stay inside its window."""

from amaranth import Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.axi import beat_bytes
from einloom.hw.bus.burst_splitter import BEATS_BITS, span_layout
from einloom.hw.part import Part
from einloom.hw.wires import members

OFFSET_BITS = 40  # a terabyte inside a window; an address would have to be relocated by the host


def request_layout() -> data.StructLayout:
    """A master's request: consecutive beats from a byte offset in its window on."""
    return data.StructLayout({"offset": OFFSET_BITS, "beats": BEATS_BITS})


class WindowCheck(Part):
    """Turns offsets into addresses, and refuses requests that are not wholly inside the window.

    A request is refused if it asks for no beats, if its offset or the window is not aligned to beats, if it ends behind
    the window's end, or if the window ends behind the last address. All sums are as wide as their results, so nothing
    wraps into the window. Throughput: a request a cycle. Latency: 2 cycles; a refusal takes its turn.

    Parameters
    ----------
    data_bits : width of a beat.
    address_bits : width of a byte address.

    Members
    -------
    i : In, stream of {offset in bytes, beats}
    o : Out, stream of {address, beats}, for a consumer that is `ready` without waiting for `valid`
    base, size : In, the window in bytes; stable while requests are inside
    refused : Out(1), a request was refused in this cycle
    busy : Out(1), a request is inside
    clear : In(1), forget all requests
    """

    def __init__(self, data_bits: int, address_bits: int = 64):
        super().__init__({
            "i": In(stream.Signature(request_layout())),
            "o": Out(stream.Signature(span_layout(address_bits))),
            **members(In, "base", "size", shape=address_bits),
            **members(Out, "refused", "busy"),
            "clear": In(1),
        })

    def build(self, m, platform):
        inside = beat_bytes(self.data_bits).bit_length() - 1  # address bits inside a beat
        request = self.i.payload

        # First stage: the sums.
        summed = Signal()
        # The sum of two numbers of at most n bits has n + 1.
        end = Signal(max(OFFSET_BITS, BEATS_BITS + inside) + 1, reset_less=True)
        window_end = Signal(self.address_bits + 1, reset_less=True)
        address = Signal(self.address_bits, reset_less=True)
        beats = Signal(BEATS_BITS, reset_less=True)
        malformed = Signal(reset_less=True)

        # Second stage: the verdict.
        judged = Signal()
        refuse = Signal(reset_less=True)
        span = Signal(span_layout(self.address_bits), reset_less=True)

        move = Signal()
        m.d.comb += [
            move.eq(~judged | self.o.ready),
            self.i.ready.eq(~summed | move),
            self.o.valid.eq(judged & ~refuse),
            self.o.payload.eq(span),
            self.refused.eq(judged & refuse & self.o.ready),
            self.busy.eq(summed | judged),
        ]
        with m.If(self.i.ready):
            m.d.sync += [
                summed.eq(self.i.valid),
                end.eq(request.offset + (request.beats << inside)),
                window_end.eq(self.base + self.size),
                address.eq(self.base + request.offset),
                beats.eq(request.beats),
                malformed.eq(((self.base | request.offset)[:inside] != 0) | (request.beats == 0)),
            ]
        with m.If(move):
            m.d.sync += [
                judged.eq(summed),
                refuse.eq(malformed | (end > self.size) | (window_end > 1 << self.address_bits)),
                span.address.eq(address),
                span.beats.eq(beats),
            ]
        with m.If(self.clear):
            m.d.sync += [summed.eq(0), judged.eq(0)]
