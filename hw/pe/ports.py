"""The ports of every PE, and the register through which its result leaves."""

from amaranth import Module, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.pe.spec import PeSpec
from einloom.hw.pe.timing import CONTROL


def pe_ports(spec: PeSpec, activations, operand) -> dict:
    """Ports of a PE that takes `activations` from its row and an `operand` from its column; both are shapes."""
    scale = {"scale_bit": In(1)} if spec.timing.scale_bits else {}
    return {
        "activations": In(activations),
        "operand": In(operand),
        "control": In(CONTROL),
        **scale,
        "drain_in": In(spec.sum_bits),
        "drain_out": Out(spec.sum_bits),
    }


def add_drain(m: Module, pe, result) -> None:
    """Add the drain register of `pe`: it takes `result` on load, and the neighbour's on shift."""
    drain = Signal(pe.spec.sum_bits, reset_less=True)
    with m.If(pe.control.load):
        m.d.sync += drain.eq(result)
    with m.Elif(pe.control.shift):
        m.d.sync += drain.eq(pe.drain_in)
    m.d.comb += pe.drain_out.eq(drain)
