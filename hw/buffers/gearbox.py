"""Cuts memory beats into words of other sizes."""

from math import gcd

from amaranth import Array, Cat, Const, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.named import named
from einloom.hw.part import Part


class Gearbox(Part):
    """Cuts a stream of beats into words of a few sizes, without gaps between words.

    A beat is accepted whenever there is room for one, whatever the consumer does. Positions are multiples of `unit`,
    the greatest common divisor of all sizes, which keeps the two shifters shallow. `coming` tells a cycle ahead which
    words will be there, because a long path begins there when gearboxes move together.

    Throughput: a beat in and a word out every cycle. Latency: 1 cycle from a word's last beat.

    Parameters
    ----------
    beat_bits : a power of two.
    word_bits : the sizes of words that `select` chooses from.

    Members
    -------
    beats : In, stream of `beat_bits`
    select : In, index of the wanted word's size
    available : Out(1), all of the wanted word is there
    coming : Out, bit n: in the next cycle all of a word of size n is there
    word : Out, in its low bits; above them is what follows
    take : In(1), consume the word; only while `available`
    align : In(1), drop what is left of the current beat; not together with `take`
    """

    def __init__(self, beat_bits: int, word_bits: tuple[int, ...]):
        self.unit = gcd(beat_bits, *word_bits)
        super().__init__({
            "beats": In(stream.Signature(beat_bits)),
            "select": In(range(max(len(word_bits), 2))),
            "available": Out(1),
            "coming": Out(len(word_bits)),
            "word": Out(max(word_bits)),
            "take": In(1),
            "align": In(1),
        })

    def build(self, m, platform):
        unit = self.unit
        per_beat = self.beat_bits // unit
        inside = per_beat.bit_length() - 1  # bits of a position that count units of a beat
        # The widest word may lack one unit when a beat arrives; then one more beat must fit, so that none is held up.
        capacity = max(self.word_bits) // unit + 2 * per_beat
        buffer = Signal(capacity * unit, reset_less=True)
        level = Signal(range(capacity + 1))
        enough = Signal(len(self.word_bits))  # bit n: a word of size n is there
        supplied = Signal(range(capacity + 1))
        accept = Signal()
        turned = Signal(self.beat_bits)
        arriving, merged = Signal.like(buffer), Signal.like(buffer)

        def bits(units):
            return Cat(Const(0, unit.bit_length() - 1), units)

        def here(u):
            """A unit of the accepted beat goes to place `u`; named, because every bit of the unit uses it."""
            return named(m, f"here_{u}", accept & (level <= u) & (level + per_beat > u))

        def reaches(units, used=0):
            """The value of `coming` if `used` of the `units` leave."""
            return Cat(units >= used + size // unit for size in self.word_bits)

        # A beat goes behind the units that are there; then all move down. `select` comes last, so it only chooses
        # between constant shifts.
        m.d.comb += [
            self.available.eq(Array(enough)[self.select]),
            self.word.eq(buffer),
            self.beats.ready.eq(level <= capacity - per_beat),
            accept.eq(self.beats.valid & self.beats.ready),
            supplied.eq(level + Mux(accept, per_beat, 0)),
            # A rotated beat has each unit in its place within a beat; `here` finds the beat of the buffer.
            turned.eq((Cat(self.beats.payload, self.beats.payload) << bits(level[:inside]))[self.beat_bits :]),
            arriving.eq(Cat(turned.word_select(u % per_beat, unit) & here(u).replicate(unit) for u in range(capacity))),
            # Bits above the level are garbage only before the first beat; clearing them then is cheaper than a reset.
            merged.eq(Mux(level == 0, 0, buffer) | arriving),
        ]
        m.d.sync += enough.eq(self.coming)
        with m.If(self.align):
            whole = Cat(Const(0, inside), supplied[inside:])
            m.d.comb += self.coming.eq(reaches(whole))
            m.d.sync += [buffer.eq(merged >> bits(level[:inside])), level.eq(whole)]
        with m.Elif(self.take):
            with m.Switch(self.select):
                for n, size in enumerate(self.word_bits):
                    with m.Case(n):
                        used = size // unit
                        m.d.comb += self.coming.eq(reaches(supplied, used))
                        m.d.sync += [buffer.eq(merged >> size), level.eq(supplied - used)]
        with m.Else():
            m.d.comb += self.coming.eq(reaches(supplied))
            m.d.sync += [buffer.eq(merged), level.eq(supplied)]
