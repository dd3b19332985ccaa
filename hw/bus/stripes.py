"""Memory that is striped over the windows of several masters: one reader, or one writer, in front of them."""

from amaranth import Cat, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.read_master import beat_layout
from einloom.hw.bus.window import request_layout
from einloom.hw.bus.write_master import strobed_layout
from einloom.hw.part import Part


def _ask_all(m, part):
    """Hand a request to each master, at its own time; offsets count bytes of a stripe there."""
    count, sent = part.count, Signal(part.count)
    asked = Signal(count)
    for n, request in enumerate(part.requests):
        m.d.comb += [
            request.valid.eq(part.request.valid & ~sent[n]),
            request.payload.offset.eq(part.request.payload.offset >> (count.bit_length() - 1)),
            request.payload.beats.eq(part.request.payload.beats),
            asked[n].eq(sent[n] | request.ready),
        ]
    done = part.request.valid & asked.all()
    m.d.comb += part.request.ready.eq(asked.all())
    for n, request in enumerate(part.requests):
        m.d.sync += sent[n].eq(~done & (sent[n] | (request.valid & request.ready)))


class StripedReader(Part):
    """Reads a window of wide beats: beat n is beat n of the window of each of `count` masters, the first one's lowest.

    Throughput: a wide beat a cycle. Latency: none.

    Parameters
    ----------
    count : number of masters, a power of two.
    data_bits : width of a master's beat.

    Members
    -------
    request : In, stream of {offset in bytes of the wide window, beats}
    beats : Out, stream of wide beats
    requests, stripes : to and from the read masters, an array each
    """

    def __init__(self, count: int, data_bits: int):
        super().__init__({
            "request": In(stream.Signature(request_layout())),
            "beats": Out(stream.Signature(beat_layout(count * data_bits))),
            "requests": Out(stream.Signature(request_layout())).array(count),
            "stripes": In(stream.Signature(beat_layout(data_bits))).array(count),
        })

    def build(self, m, platform):
        _ask_all(m, self)
        m.d.comb += [
            self.beats.valid.eq(Cat(stripe.valid for stripe in self.stripes).all()),
            self.beats.payload.data.eq(Cat(stripe.payload.data for stripe in self.stripes)),
            self.beats.payload.last.eq(self.stripes[0].payload.last),
        ]
        for stripe in self.stripes:
            m.d.comb += stripe.ready.eq(self.beats.valid & self.beats.ready)


class StripedWriter(Part):
    """Writes a window of wide beats: beat n is beat n of the window of each of `count` masters, the first one's lowest.

    Throughput: a wide beat a cycle. Latency: none for a beat; 1 cycle from the last master's answer to `answered`.

    Parameters
    ----------
    count : number of masters, a power of two.
    data_bits : width of a master's beat.

    Members
    -------
    request : In, stream of {offset in bytes of the wide window, beats}
    beats : In, stream of wide beats and their strobes
    answered : Out(1), every master has answered a request
    requests, stripes : to the write masters, an array each
    answers : In, bit n: master n has answered a request; a master has one at a time
    """

    def __init__(self, count: int, data_bits: int):
        super().__init__({
            "request": In(stream.Signature(request_layout())),
            "beats": In(stream.Signature(strobed_layout(count * data_bits))),
            "answered": Out(1),
            "requests": Out(stream.Signature(request_layout())).array(count),
            "stripes": Out(stream.Signature(strobed_layout(data_bits))).array(count),
            "answers": In(count),
        })

    def build(self, m, platform):
        _ask_all(m, self)
        ready = Cat(stripe.ready for stripe in self.stripes).all()
        m.d.comb += self.beats.ready.eq(ready)
        payload = self.beats.payload
        for n, stripe in enumerate(self.stripes):
            m.d.comb += [
                stripe.valid.eq(self.beats.valid & ready),
                stripe.payload.data.eq(payload.data.word_select(n, self.data_bits)),
                stripe.payload.strobe.eq(payload.strobe.word_select(n, self.data_bits // 8)),
            ]
        answered = Signal(self.count)
        m.d.comb += self.answered.eq(answered.all())
        m.d.sync += answered.eq((answered & ~self.answered.replicate(self.count)) | self.answers)
