"""From the dot products of a column to its probabilities, one key after the other."""

from amaranth import Cat, Const, Mux, Signal, signed
from amaranth.lib import data, memory
from amaranth.lib.wiring import In, Out

from einloom.hw.arith import exp2
from einloom.hw.arith.delay import delayed, registered
from einloom.hw.arith.dsp48e2 import OPERAND_CYCLES, Dsp48e2
from einloom.hw.part import Part
from einloom.spec import attention_format as fmt

DSP_CYCLES = OPERAND_CYCLES + 1
SCORE_CYCLES = 2 + DSP_CYCLES + 2  # from a key's turn to its score: choice, rounding, product, clamp, mask
POWER_CYCLES = 3 + fmt.EXP2_STEPS * DSP_CYCLES + 3  # from a key's second turn to its probability

SERIAL_CONTROL = data.StructLayout({
    "scale": 1,  # the query's scale is there
    "fresh": 1,  # ... and the tile is the first of its queries
    "start": 1,  # the dot products are there
})


def serial_cycles(rows: int) -> int:
    """Cycles from `start` until all probabilities and the correction are written, for `rows` keys."""
    return 1 + rows + SCORE_CYCLES + rows + POWER_CYCLES


class SerialExponential(Part):
    """x = dot * scale, RM = max(RM, x), PRM = exp2(RM_old - RM), and exp2(x - RM), for the keys of a tile in turn.

    Numbers are those of spec/attention_format.py, bit for bit as FuseMaxPE and OnlineSoftmax compute them, on five
    DSPs: one scales, and four are Horner's scheme. In a first round the scores are found and kept, and with the last
    of them the maximum is known. In a second round they become probabilities, and behind the last one RM_old becomes
    the correction. A PE's own exponential is at work for 5 of the 200 to 300 cycles of a tile; this one for 2 * `rows`.

    Throughput and latency: a tile in `serial_cycles`.

    Parameters
    ----------
    format : of all numbers.
    rows : keys of a tile, at least 2.

    Members
    -------
    dots : In, the dot product of each key, key 0 lowest; stable for `rows` cycles behind `start`
    visible : In, bit per key, 0 masks it; stable from SCORE_CYCLES - 1 cycles behind `start` on, for as long
    scale : In, the query's scale
    control : In
    negated : Out, a probability with its sign inverted
    write : Out, bit n: it is that of key n
    correction : Out, PRM; 0 in a first tile
    fresh : Out(1), of the tile to which the correction belongs
    """

    def __init__(self, format: fmt.AttentionFormat, rows: int):
        super().__init__({
            "dots": In(rows * format.qk_bits),
            "visible": In(rows),
            "scale": In(signed(fmt.QUERY_BITS)),
            "control": In(SERIAL_CONTROL),
            "negated": Out(signed(fmt.PROBABILITY_BITS)),
            "write": Out(rows),
            "correction": Out(signed(fmt.PROBABILITY_BITS)),
            "fresh": Out(1),
        })

    def build(self, m, platform):
        turn = data.StructLayout({"valid": 1, "key": range(self.rows + 1)})
        scale = Signal(signed(fmt.QUERY_BITS), reset_less=True)
        with m.If(self.control.scale):
            m.d.sync += [scale.eq(self.scale), self.fresh.eq(self.control.fresh)]
        first = self._turns(m, turn, "first", self.control.start, self.rows)
        score, scored, visible = self._score(m, platform, first, scale)
        last = scored.valid & (scored.key == self.rows - 1)
        second = self._turns(m, turn, "second", last, self.rows + 1)
        difference, seen = self._differences(m, score, scored, visible, second)
        self._probability(m, platform, difference, seen, second)

    def _turns(self, m, layout, name, start, count):
        """`count` turns, from the cycle behind `start` on."""
        turn = Signal(layout, name=name)
        with m.If(start):
            m.d.sync += [turn.valid.eq(1), turn.key.eq(0)]
        with m.Elif(turn.valid):
            m.d.sync += [turn.key.eq(turn.key + 1), turn.valid.eq(turn.key != count - 1)]
        return turn

    def _score(self, m, platform, turn, scale):
        """(score, its turn, whether the key is visible), SCORE_CYCLES behind `turn`."""
        bits, drop = self.format.qk_bits, self.format.qk_drop
        chosen = Signal(signed(bits), reset_less=True)
        m.d.sync += chosen.eq(self.dots.word_select(turn.key[: (self.rows - 1).bit_length()], bits))
        operand = registered(m, "operand", (chosen + ((1 << drop) >> 1)) >> drop, signed(fmt.OPERAND_BITS))
        scaler = Dsp48e2(cascaded=False, accumulates=False, constant=1 << (fmt.SCALE_SHIFT - 1))
        scaler.place(m, "scaler", platform)
        m.d.comb += [scaler.d.eq(operand), scaler.b.eq(scale)]
        scaled = scaler.p.as_signed() >> fmt.SCALE_SHIFT
        limit = fmt.SCORE_LIMIT
        clamped = registered(
            m,
            "clamped",
            Mux(scaled > limit, limit, Mux(scaled < -limit, -limit, scaled)),
            signed(fmt.SCORE_BITS),
        )
        masking = delayed(m, "masking", turn, SCORE_CYCLES - 1, reset_less=False)
        visible = self.visible.bit_select(masking.key[: (self.rows - 1).bit_length()], 1)
        seen = registered(m, "visible_1", visible)
        score = registered(m, "score", Mux(visible, clamped, fmt.MASKED), signed(fmt.SCORE_BITS))
        return score, delayed(m, "scored", masking, 1, reset_less=False), seen

    def _differences(self, m, score, scored, visible, turn):
        """(score - RM, visible), 2 cycles behind `turn`; behind the last key RM_old - RM, visible unless `fresh`."""
        largest, before = (Signal(signed(fmt.SCORE_BITS), name=name, reset_less=True) for name in ("largest", "before"))
        floor = Signal(signed(fmt.SCORE_BITS))
        is_first = scored.key == 0
        m.d.comb += floor.eq(Mux(is_first & self.fresh, fmt.MASKED, largest))
        with m.If(scored.valid):
            m.d.sync += largest.eq(Mux(score > floor, score, floor))
            with m.If(is_first):
                m.d.sync += before.eq(floor)
        kept = data.StructLayout({"score": signed(fmt.SCORE_BITS), "visible": 1})
        m.submodules.scores = scores = memory.Memory(shape=kept, depth=self.rows, init=[])
        write, read = scores.write_port(), scores.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(scored.key),
            write.data.score.eq(score),
            write.data.visible.eq(visible),
            write.en.eq(scored.valid),
            read.addr.eq(turn.key),
        ]
        is_before = turn.key == self.rows
        chosen = registered(m, "minuend", Mux(is_before, before, read.data.score), signed(fmt.SCORE_BITS))
        seen = registered(m, "seen_1", Mux(is_before, ~self.fresh, read.data.visible), 1)
        difference = registered(m, "difference", chosen - largest, signed(fmt.SCORE_BITS + 1))
        return difference, registered(m, "seen_2", seen)

    def _probability(self, m, platform, difference, seen, turn):
        """The powers of two of the differences, to the keys; the last one is the correction."""
        fraction, exponent = exp2.split(difference)
        fraction = registered(m, "fraction", Cat(fraction, Const(0, 1)).as_signed(), signed(exp2.FRACTION_BITS))
        exponent = registered(m, "exponent", exponent, exp2.EXPONENT_BITS)
        power = Const(exp2.LEADING, signed(fmt.POWER_BITS))
        for n in range(fmt.EXP2_STEPS):
            step = Dsp48e2(cascaded=False, accumulates=False, constant=exp2.addend(n)).place(m, f"step_{n}", platform)
            m.d.comb += [step.d.eq(power), step.b.eq(fraction)]
            power = step.p[fmt.SCORE_FRACTION :][: fmt.POWER_BITS].as_signed()
            fraction = delayed(m, f"fraction_{n}", fraction, DSP_CYCLES)
        steps = fmt.EXP2_STEPS * DSP_CYCLES
        exponent, seen = (
            delayed(m, name, value, cycles)
            for name, value, cycles in (("exponents", exponent, steps), ("seen", seen, steps + 2))
        )
        shifted = registered(m, "shifted", exp2.shifted(power, exponent))
        probability = registered(m, "probability", Mux(seen, exp2.rounded(shifted), 0), fmt.PROBABILITY_BITS)
        whose = delayed(m, "whose", turn, POWER_CYCLES - 1, reset_less=False)
        m.d.sync += [
            self.negated.eq(-probability),
            self.write.eq(Mux(whose.valid, (1 << whose.key)[: self.rows], 0)),
        ]
        with m.If(whose.valid & (whose.key == self.rows)):
            m.d.sync += self.correction.eq(probability)
