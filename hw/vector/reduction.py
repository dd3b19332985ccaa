"""The schedule in which a reduction's partial results meet.

Behind its words, a SUM reduces REDUCE_PARTIALS partial sums of each lane to one, then the lanes' sums to one. In a lane
the adder adds its newest sum to the one 4, then 2, then 1 cycles older. Then the sums pass through a perfect shuffle:
lane n adds those of lanes n // 2 and lanes // 2 + n // 2. The first such step leaves sum j of the two halves in lanes
2j and 2j + 1, the next one sum j in lanes 4j to 4j + 3. So the same wires serve all steps, and at the end every lane
has the total. MAXABS goes through the same wires.
"""

from amaranth import Mux, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.vector.float_adder import LATENCY as ADD_LATENCY
from einloom.hw.vector.lane import Left, Right
from einloom.hw.wires import members
from einloom.spec.isa import REDUCE_PARTIALS

assert ADD_LATENCY >= REDUCE_PARTIALS // 2  # the folds begin behind the last word
LAST_WORD = REDUCE_PARTIALS - 1  # place of the last word, or of what stands for it, in the count of `ReductionTail`
AGO = {1: Left.AGO_1, 2: Left.AGO_2, 4: Left.AGO_4}


def shuffled(lanes: int) -> list[tuple[int, int]]:
    """The two lanes whose partial results each lane combines."""
    return [(n // 2, lanes // 2 + n // 2) for n in range(lanes)]


def folds(lanes: int) -> dict[int, tuple[Left, Right]]:
    """The operands of the adders in the cycles in which they fold, by the cycle's place; the total comes last.

    Partial sum i < 8 went into the adder in place i, or 8 places earlier. The upper half is added as it comes out.
    """
    places = dict[int, tuple[Left, Right]]()
    half, place = REDUCE_PARTIALS // 2, REDUCE_PARTIALS // 2 + ADD_LATENCY
    while half:
        places |= {place + i: (AGO[half], Right.LAST) for i in range(half)}
        place += half // 2 + ADD_LATENCY
        half //= 2
    for _ in range(lane_steps(lanes)):
        places[place] = (Left.LOW, Right.HIGH)
        place += ADD_LATENCY
    return places


def lane_steps(lanes: int) -> int:
    """Steps from the lanes' partial results to one."""
    return (lanes - 1).bit_length()


class ReductionTail(Part):
    """Controls the lanes between the last word of a reduction and its result, cycle by cycle.

    A SUM is filled up with words of -0, which change no partial sum, to a multiple of REDUCE_PARTIALS; then come the
    `folds`. Throughput: a slot every cycle. Latency: from `start` to `last`, max(folds(lanes)) - `word` cycles of a SUM
    and log2(lanes) of a MAXABS.

    Parameters
    ----------
    lanes : a power of two, at least 2.

    Members
    -------
    start : In(1), with the last word; the tail begins in the next cycle
    enable : In(1), the tail goes on
    sum : In(1), it is a SUM, not a MAXABS; stable up to the end
    word : In, index of the last word modulo REDUCE_PARTIALS, with `start`
    active : Out(1)
    fill : Out(1), a word of -0
    left, right : Out, the adder's operands if it is not filled
    fold : Out(1), MAXABS: compare the lanes' maxima
    last : Out(1), this cycle's operation leaves the result in every lane
    """

    def __init__(self, lanes: int):
        super().__init__({
            **members(In, "start", "enable", "sum"),
            "word": In(range(REDUCE_PARTIALS)),
            **members(Out, "active", "fill"),
            "left": Out(Left),
            "right": Out(Right),
            **members(Out, "fold", "last"),
        })

    def build(self, m, platform):
        places = folds(self.lanes)
        total, peak = max(places), LAST_WORD + lane_steps(self.lanes)
        place = Signal(range(max(total, peak) + 1))
        limit, following = Mux(self.sum, total, peak), Signal.like(place)
        with m.If(self.start | (self.active & self.enable)):
            m.d.sync += [place.eq(following), self.active.eq(self.start | ~self.last), self.last.eq(following == limit)]
        m.d.comb += [
            # A MAXABS is not filled up.
            following.eq(Mux(self.start, Mux(self.sum, self.word, LAST_WORD), place) + 1),
            self.fill.eq(self.sum & (place <= LAST_WORD)),
            self.fold.eq(~self.sum),
            self.left.eq(Left.MINUS_ZERO),
            self.right.eq(Right.ZERO),
        ]
        with m.Switch(place):
            for number, (left, right) in places.items():
                with m.Case(number):
                    m.d.comb += [self.left.eq(left), self.right.eq(right)]
