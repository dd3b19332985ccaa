"""Pipelined reduction trees over the rows of a column."""

from amaranth import Module, Signal, signed
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.trees import add_tree, max_tree
from einloom.hw.part import Part

LEVELS = 2  # of two-input operations between registers
FAN_IN = 1 << LEVELS


def stages(count: int) -> int:
    """Registers of a tree over `count` values, at least one."""
    return max(1, -(-(count - 1).bit_length() // LEVELS))


class Reduction(Part):
    """Sum or maximum of `count` signed values; a result every cycle, after `stages(count)` cycles.

    Parameters
    ----------
    operation : "add", whose result grows by a bit per level, or "max".

    Members
    -------
    values : In, value 0 lowest
    result : Out
    """

    def __init__(self, operation: str, bits: int, count: int):
        self.result_bits = bits + ((count - 1).bit_length() if operation == "add" else 0)
        super().__init__({"values": In(bits * count), "result": Out(signed(self.result_bits))})

    def elaborate(self, platform):
        m = Module()
        reduce = add_tree if self.operation == "add" else max_tree
        values = [self.values[n * self.bits : (n + 1) * self.bits].as_signed() for n in range(self.count)]
        for stage in range(stages(self.count)):
            registers = []
            for n in range(0, len(values), FAN_IN):
                value = reduce(values[n : n + FAN_IN])
                register = Signal(signed(len(value)), name=f"stage_{stage}_{n // FAN_IN}", reset_less=True)
                m.d.sync += register.eq(value)
                registers.append(register)
            values = registers
        m.d.comb += self.result.eq(values[0])
        return m
