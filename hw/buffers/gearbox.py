"""Cuts memory beats into words of other sizes."""

from collections.abc import Sequence
from math import gcd

from amaranth import Array, Cat, Const, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part


class Gearbox(Part):
    """Cuts a stream of beats into words of a few sizes, without gaps between words.

    Beats wait whole, in registers. A word begins at `offset` in the oldest beat, so a multiplexer finds it. A beat
    leaves when all of it is used, and those behind it move up. Offsets are multiples of `unit`, the greatest common
    divisor of all sizes, which keeps the multiplexer narrow. Cost, in 2:1
    multiplexers: log2(beat_bits / unit) for each bit of a word, and one for each bit of a waiting beat but the last.

    A beat is accepted whenever there is room for one, whatever the consumer does. `coming` tells a cycle ahead which
    words will be there, for each thing that the consumer may do. When gearboxes move together, what all of them have is
    known before the consumer's choice, which comes last.

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
    coming : Out, array; bit n: in the next cycle all of a word of size n is there, in entry 0 if nothing is done now,
        in entry 1 + k if a word of size k is taken, and in the last one with `align`
    word : Out, in its low bits; above them is what follows
    take : In(1), consume the word; only while `available`
    align : In(1), drop what is left of the oldest beat; not together with `take`
    """

    def __init__(self, beat_bits: int, word_bits: tuple[int, ...]):
        self.unit = gcd(beat_bits, *word_bits)
        super().__init__({
            "beats": In(stream.Signature(beat_bits)),
            "select": In(range(max(len(word_bits), 2))),
            "available": Out(1),
            "coming": Out(len(word_bits)).array(len(word_bits) + 2),
            "word": Out(max(word_bits)),
            "take": In(1),
            "align": In(1),
        })

    def build(self, m, platform):
        unit = self.unit
        per_beat = self.beat_bits // unit
        inside = per_beat.bit_length() - 1  # bits of a position that count units of a beat
        touched = beats_touched(self.beat_bits, self.word_bits)
        depth = touched + 1  # while a word waits, one more beat fits, so that none is held up
        beats = [Signal(self.beat_bits, name=f"beat_{n}", reset_less=True) for n in range(depth)]
        count, offset = Signal(range(depth + 1)), Signal(range(per_beat))
        level, supplied = Signal(range(depth * per_beat + 1)), Signal(range(depth * per_beat + 1))  # units
        enough = Signal(len(self.word_bits))  # bit n: a word of size n is there
        accept, leaving = Signal(), Signal(range(depth))  # beats that are used up

        used = [size // unit for size in self.word_bits]
        whole = Cat(Const(0, inside), supplied[inside:])
        left = [(supplied, 0), *((supplied, units) for units in used), (whole, 0)]
        for coming, (there, taken) in zip(self.coming, left, strict=True):
            m.d.comb += coming.eq(Cat(there >= taken + units for units in used))

        m.d.comb += [
            self.available.eq(Array(enough)[self.select]),
            self.word.eq(Cat(beats[:touched]) >> Cat(Const(0, unit.bit_length() - 1), offset)),
            self.beats.ready.eq(count != depth),
            accept.eq(self.beats.valid & self.beats.ready),
            supplied.eq(level + Mux(accept, per_beat, 0)),
        ]
        m.d.sync += [enough.eq(following(self.coming, self)), count.eq(count + accept - leaving)]
        with m.If(self.align):
            m.d.comb += leaving.eq(offset != 0)
            m.d.sync += [offset.eq(0), level.eq(whole)]
        with m.Elif(self.take):
            with m.Switch(self.select):  # it comes last, so it only chooses
                for n, units in enumerate(used):
                    with m.Case(n):
                        end = offset + units
                        m.d.comb += leaving.eq(end[inside:])
                        m.d.sync += [offset.eq(end[:inside]), level.eq(supplied - units)]
        with m.Else():
            m.d.sync += level.eq(supplied)
        for n, beat in enumerate(beats):
            with m.If(accept & (count == n + leaving)):
                m.d.sync += beat.eq(self.beats.payload)
            with m.Elif(leaving != 0):
                with m.Switch(leaving):
                    for moved in range(1, depth - n):
                        with m.Case(moved):
                            m.d.sync += beat.eq(beats[n + moved])


def following(coming, control):
    """The entry of `coming` for what `take`, `select` and `align` of `control` do in this cycle."""
    nothing, *taken, aligned = coming
    return Mux(control.align, aligned, Mux(control.take, Array(taken)[control.select], nothing))


def beats_touched(beat_bits: int, word_bits: Sequence[int]) -> int:
    """Beats that a word lies in, at most."""
    return -(-(max(word_bits) + beat_bits - gcd(beat_bits, *word_bits)) // beat_bits)
