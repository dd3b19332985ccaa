"""The ports of every PE, and what lies behind its accumulator: the multiplication by a scale, and the way out."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.timing import CONTROL
from einloom.spec.formats import SCALE_BITS


def pe_ports(spec: PeSpec, activations, operand) -> dict:
    """Ports of a PE that takes `activations` from its row and an `operand` from its columns; both are shapes."""
    scale = {"scale_bit": In(spec.columns_per_pe)} if spec.timing.scale_bits else {}
    drain = spec.columns_per_pe * spec.sum_bits
    return {
        "activations": In(activations),
        "operand": In(operand),
        "control": In(CONTROL),
        **scale,
        "drain_in": In(drain),
        "drain_out": Out(drain),
    }


def add_dequantiser(m: Module, pe, group_sum, shift=0, *, negated=False):
    """Returns total = sum over groups of scale * `group_sum`, or of its negative, of `pe.spec.value_bits`.

    `group_sum` is complete in the cycle of `pe.control.capture`. In the cycle after that the total so far is divided by
    2^`shift`, rounded down; in other cycles `shift` must be 0.

    Shift-and-add, one scale bit a cycle, straight into the total: SCALE_BITS cycles, beside the next group. Source:
    BitMoD (HPCA 2025), section IV-B.
    """
    control = pe.control
    scaled = Signal(signed(len(group_sum) + SCALE_BITS - 1), reset_less=True)
    total = Signal(signed(pe.spec.value_bits), reset_less=True)
    with m.If(control.dequantise):
        m.d.sync += scaled.eq(scaled << 1)
        before, addend = Mux(control.restart, 0, total >> shift), Mux(pe.scale_bit, scaled, 0)
        m.d.sync += total.eq(before - addend if negated else before + addend)
    with m.If(control.capture):
        m.d.sync += scaled.eq(group_sum)
    return total


def add_drain(m: Module, pe, result) -> None:
    """Add the drain register of `pe`: it takes `result` on load, and the neighbour's on shift."""
    drain = Signal(pe.spec.sum_bits, reset_less=True)
    with m.If(pe.control.load):
        m.d.sync += drain.eq(result)
    with m.Elif(pe.control.shift):
        m.d.sync += drain.eq(pe.drain_in)
    m.d.comb += pe.drain_out.eq(drain)
