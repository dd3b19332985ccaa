"""The 1D PE below a column of FuseMax: running maximum, and running sums with their corrections."""

from amaranth import Cat, Mux, Signal, signed
from amaranth.lib import data, memory
from amaranth.lib.wiring import In, Out

from einloom.hw.arith import exp2
from einloom.hw.arith.delay import registered
from einloom.hw.buffers.parity import corrupt_port, with_parity
from einloom.hw.part import Part
from einloom.hw.wires import choose
from einloom.spec import attention_format as fmt

STATE_STAGES = 5  # address, operands, product, sum, write


def row_control(format: fmt.AttentionFormat, spans: int = 1) -> data.StructLayout:
    """Control of all 1D PEs. Steps are those of the 2D array, some cycles later; a step's address comes in cycle 0."""
    address = range(format.max_head + 1)
    return data.StructLayout({
        "maximum": 1,  # the tile's maximum is there
        "fresh": 1,  # ... and the tile is the first of its queries: nothing to correct
        "merge": int(spans > 1),  # take the maximum over all spans instead of this one's
        "difference": 1,  # the cycle after `maximum`, or after `merge`: start the correction's exponential
        "address": address,  # 0: of the state that a VALUE step adds to
        "exp": 1,  # 1: the step is an EXP
        "power": 1,  # 3: it was one
        "term": range(fmt.EXP2_STEPS),  # 3: which of them
        "write": 1,  # 4: it was a VALUE
        "write_address": address,  # 4
        "load": 1,  # 1: the exponential is complete: it becomes the correction of the VALUE steps that follow
    })


class OnlineSoftmax(Part):
    """RM = max(RM, LM), PRM = exp2(RM_old - RM), and state[f] = state[f] * PRM + the tile's sum.

    The states are RNV[0 .. F-1] and, at address max_head, the denominator RD. RD is the sum for a constant column of V,
    so every VALUE step is the same fused multiply-add. The multiplier also computes the exponential of the correction
    PRM, in the same slots as the PEs above compute theirs. Only the width of a state grows with the number of keys, by
    one bit for each doubling of `max_keys` (AttentionFormat.state_bits).

    With more than one span, other columns may have other keys of the same query. On the last tile RM is the maximum
    over all of them. So all states are relative to the same maximum and only need to be added (SpanGroup).

    Where the correction is `given`, RM and PRM are a SerialExponential's, and only the states are here.

    Throughput: a VALUE step a cycle. Latency: STATE_STAGES cycles from a step's address to the state's write.
    Source: FuseMax (MICRO 2024), section IV (the 1-pass cascade) and VI (the 1D array).

    Members
    -------
    tile_maximum : In, LM; unless `given`
    correction, fresh : In, if `given`: PRM, and that there is nothing to correct
    merged_maximum : In, with more than one span: the largest RM of all of the query's columns
    tile_sum : In, exact sum over the tile, in cycle 3 of its step
    control : In, see `row_control`
    maximum : Out, RM; unless `given`
    state : Out, the state that a VALUE step writes, in its cycle 4
    corrupt : Out(1), with `parity` only: the state to which the step in its cycle 4 adds lost a bit
    """

    def __init__(
        self, format: fmt.AttentionFormat, sum_bits: int, spans: int = 1, parity: bool = False, given: bool = False
    ):
        score = signed(fmt.SCORE_BITS)
        correction = {"correction": In(signed(fmt.PROBABILITY_BITS)), "fresh": In(1)}
        super().__init__({
            **(correction if given else {"tile_maximum": In(score)}),
            "tile_sum": In(signed(sum_bits)),
            "control": In(row_control(format, spans)),
            **({} if given else {"maximum": Out(score)}),
            "state": Out(signed(format.state_bits)),
            **corrupt_port(parity),
            **({"merged_maximum": In(signed(fmt.SCORE_BITS))} if spans > 1 else {}),
        })

    def build(self, m, platform):
        control, format = self.control, self.format
        m.submodules.states = states = memory.Memory(
            shape=signed(format.state_bits + self.parity), depth=format.max_head + 1, init=[]
        )
        read, write = states.read_port(), states.write_port()
        state = read.data[: format.state_bits].as_signed() if self.parity else read.data
        correction = Signal(signed(fmt.PROBABILITY_BITS), reset_less=True)
        m.d.comb += read.addr.eq(control.address)
        if self.given:
            fresh, factors = self.fresh, (state, correction)
            with m.If(control.load):
                m.d.sync += correction.eq(self.correction)
        else:
            power = Signal(signed(fmt.POWER_BITS), reset_less=True)
            fraction, fresh = self._maximum(m, power, correction)
            factors = (Mux(control.exp, power, state), Mux(control.exp, fraction, correction))
        operand_a = registered(m, "operand_a", factors[0], signed(format.state_bits))
        operand_b = registered(m, "operand_b", factors[1], signed(fmt.PROBABILITY_BITS))
        product = registered(m, "product", operand_a * operand_b)

        if not self.given:
            term = Signal(signed(fmt.POWER_BITS + fmt.SCORE_FRACTION))
            choose(m, term, control.term, {n: exp2.addend(n) for n in range(fmt.EXP2_STEPS)})
            with m.If(control.power):
                m.d.sync += power.eq((product + term) >> fmt.SCORE_FRACTION)
        half = 1 << (fmt.PROBABILITY_FRACTION - 1)
        added = (self.tile_sum + (1 << (format.value_drop - 1))) >> format.value_drop
        m.d.sync += self.state.eq(((product + half) >> fmt.PROBABILITY_FRACTION) + added)
        m.d.comb += [
            write.addr.eq(control.write_address),
            write.data.eq(with_parity(self.state, self.parity)),
            write.en.eq(control.write),
        ]
        if self.parity:
            self._check(m, fresh, read.data)

    def _check(self, m, fresh, word):
        """Check the states. In a first tile, whose correction is 0, a state may never have been written."""
        counts = Signal()
        with m.If(self.control.load):
            m.d.sync += counts.eq(~fresh)
        wrong = Signal(STATE_STAGES - 2)  # bit n: in cycle n + 2 of a step
        m.d.sync += wrong.eq(Cat(counts & word.xor(), wrong))
        m.d.comb += self.corrupt.eq(self.control.write & wrong[-1])

    def _maximum(self, m, power, correction):
        """Keep RM; start and end the correction's exponential. (its fraction, there is nothing to correct)"""
        control = self.control
        previous = Signal(signed(fmt.SCORE_BITS), reset_less=True)
        fresh = Signal(reset_less=True)
        fraction = Signal(signed(exp2.FRACTION_BITS), reset_less=True)
        exponent = Signal(exp2.EXPONENT_BITS, reset_less=True)
        running = Signal(signed(fmt.SCORE_BITS))
        m.d.comb += running.eq(Mux(control.fresh, fmt.MASKED, self.maximum))
        with m.If(control.maximum):
            m.d.sync += [
                previous.eq(running),
                self.maximum.eq(Mux(self.tile_maximum > running, self.tile_maximum, running)),
                fresh.eq(control.fresh),
            ]
        if self.spans > 1:
            with m.If(control.merge):
                m.d.sync += self.maximum.eq(self.merged_maximum)
        with m.If(control.difference):
            f, n = exp2.split(previous - self.maximum)
            m.d.sync += [fraction.eq(f), exponent.eq(n), power.eq(exp2.LEADING)]
        with m.If(control.load):
            m.d.sync += correction.eq(Mux(fresh, 0, exp2.scaled(power, exponent)))
        return fraction, fresh
