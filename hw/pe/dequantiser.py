"""The bit-serial multiplication of a group's sum by its scale."""

from amaranth import Module, Mux, Signal, signed

from einloom.spec.formats import SCALE_BITS


def add_dequantiser(m: Module, pe, group_sum, shift=0):
    """Returns total = sum over groups of scale * `group_sum`, of `pe.spec.value_bits`.

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
        m.d.sync += total.eq(Mux(control.restart, 0, total >> shift) + Mux(pe.scale_bit, scaled, 0))
    with m.If(control.capture):
        m.d.sync += scaled.eq(group_sum)
    return total
