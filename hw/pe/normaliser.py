"""The deferred division of FuseMax: RNV over RD, once per query."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, memory
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.parity import corrupt_port, with_parity
from einloom.hw.part import Part
from einloom.hw.wires import members
from einloom.spec.attention_format import OUTPUT_BITS, AttentionFormat

QUOTIENT_BITS = OUTPUT_BITS + 1  # one more, to round


def division_steps(digits: int) -> int:
    """Cycles of a division with `digits` quotient bits a cycle."""
    return -(-QUOTIENT_BITS // digits)


def divider_control(format: AttentionFormat) -> data.StructLayout:
    """Control of all dividers."""
    address = range(format.max_head + 1)
    return data.StructLayout({
        "write": 1,
        "write_address": address,
        "address": address,  # of the state for the next cycle
        "divisor": 1,  # the state is the denominator
        "dividend": 1,  # the state is to be divided
        "step": 1,
    })


class Divider(Part):
    """result = state / denominator * unit, of OUTPUT_BITS with AttentionFormat.output_fraction fraction bits.

    Holds the final states of a block of queries, so that the arrays go on with the next block. Restoring division of
    magnitudes: `digits` quotient bits a cycle, in pairs if there are several. The result is rounded half away from
    zero, clamped to the largest magnitude, and 0 when the denominator is 0 (no visible key).

    A value is at most two units, so a state is at most 2 * denominator. So 4 * denominator exceeds every state, and the
    quotient's first bit is worth 2 units. Throughput: a division at a time. Latency: division_steps(digits) cycles.

    Members
    -------
    state : In, the state to write
    control : In, see `divider_control`
    result : Out, signed, after the last step
    corrupt : Out(1), with `parity` only: the state that is taken in this cycle lost a bit
    """

    def __init__(self, format: AttentionFormat, digits: int, parity: bool = False):
        super().__init__({
            "state": In(signed(format.state_bits)),
            "control": In(divider_control(format)),
            "result": Out(signed(OUTPUT_BITS)),
            **corrupt_port(parity),
        })

    def build(self, m, platform):
        control, bits = self.control, self.format.state_bits
        depth = self.format.max_head + 1
        m.submodules.bank = bank = memory.Memory(shape=signed(bits + self.parity), depth=depth, init=[])
        read, write = bank.read_port(), bank.write_port()
        state = read.data
        if self.parity:
            state = read.data[:bits].as_signed()
            m.d.comb += self.corrupt.eq((control.divisor | control.dividend) & read.data.xor())
        divisor = Signal(bits + 2, reset_less=True)
        triple = Signal(bits + 4, reset_less=True)
        remainder = Signal(bits + 2, reset_less=True)
        steps = division_steps(self.digits)
        quotient = Signal(steps * self.digits, reset_less=True)
        negative = Signal(reset_less=True)
        m.d.comb += [
            read.addr.eq(control.address),
            write.addr.eq(control.write_address),
            write.data.eq(with_parity(self.state, self.parity)),
            write.en.eq(control.write),
        ]

        with m.If(control.divisor):
            m.d.sync += [divisor.eq(state << 2), triple.eq((state << 2) + (state << 3))]
        with m.If(control.dividend):
            m.d.sync += [negative.eq(state < 0), remainder.eq(Mux(state < 0, -state, state))]
        with m.Elif(control.step):
            value, found = remainder, []
            for _ in range(-(-self.digits // 2)):
                value, two = self._divide(m, value, divisor, triple)
                found = [*two, *found]
            m.d.sync += [remainder.eq(value), quotient.eq(Cat(*found, quotient))]

        rounded = (quotient[-QUOTIENT_BITS:] + 1) >> 1
        largest = (1 << (OUTPUT_BITS - 1)) - 1
        magnitude = Signal(OUTPUT_BITS)
        m.d.comb += magnitude.eq(Mux(divisor == 0, 0, Mux(rounded > largest, largest, rounded)))
        m.d.comb += self.result.eq(Mux(negative, -magnitude, magnitude))

    def _divide(self, m: Module, value, divisor: Signal, triple: Signal):
        """(remainder, quotient bits, lowest first): one bit, or two at once by three subtractions side by side.

        `value` is less than the divisor; so is the remainder of twice or four times `value`.
        """
        multiples = [divisor] if self.digits == 1 else [divisor, divisor << 1, triple]
        shifted = Cat(Const(0, 1 if self.digits == 1 else 2), value)
        rest, fits = shifted, []
        for multiple in multiples:
            difference = Signal(signed(len(shifted) + 1))
            m.d.comb += difference.eq(shifted - multiple)
            fits.append(~difference[-1])
            rest = Mux(fits[-1], difference, rest)
        found = fits if self.digits == 1 else [(fits[0] & ~fits[1]) | fits[2], fits[1]]
        return rest[: len(value)], found


class DivisionControl(Part):
    """Takes the states of a block of queries through the dividers, element f of all columns at a time.

    Throughput: a division takes 2 + division_steps(digits) cycles, and as many more as its output waits. Latency: 3 +
    division_steps(digits) cycles from `start` to the first output.

    Members
    -------
    start : In(1), all states are written
    head : In, number of values, with `start`
    address, divisor, dividend, step : Out, to the dividers
    valid, ready : Out(1), In(1), handshake of the output
    done : Out(1), the last output is being taken
    """

    def __init__(self, format: AttentionFormat, digits: int):
        super().__init__({
            "start": In(1),
            "head": In(range(format.max_head + 1)),
            "address": Out(range(format.max_head + 1)),
            **members(Out, "divisor", "dividend", "step", "valid", "done"),
            "ready": In(1),
        })

    def build(self, m, platform):
        steps = division_steps(self.digits)
        left = Signal(range(steps + 1))
        index = Signal.like(self.address)
        head = Signal.like(self.head)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.address.eq(self.format.max_head)
                with m.If(self.start):
                    m.d.sync += [head.eq(self.head), index.eq(0)]
                    m.next = "DIVISOR"
            with m.State("DIVISOR"):
                m.d.comb += [self.divisor.eq(1), self.address.eq(0)]
                m.next = "DIVIDEND"
            with m.State("DIVIDEND"):
                m.d.comb += self.dividend.eq(1)
                m.d.sync += left.eq(steps)
                m.next = "STEPS"
            with m.State("STEPS"):
                m.d.comb += self.step.eq(1)
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.next = "OUTPUT"
            with m.State("OUTPUT"):
                m.d.comb += [self.valid.eq(1), self.address.eq(index + 1)]
                with m.If(self.ready):
                    m.d.sync += index.eq(index + 1)
                    m.next = "DIVIDEND"
                    with m.If(index == head - 1):
                        m.d.comb += self.done.eq(1)
                        m.next = "IDLE"
