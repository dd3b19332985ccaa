"""Pipelined reduction trees over the rows of a column."""

from amaranth import signed
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import registered
from einloom.hw.arith.trees import add_tree, max_tree
from einloom.hw.part import Part

LEVELS = 2  # of two-input operations between registers
FAN_IN = 1 << LEVELS


def stages(count: int) -> int:
    """Registers of a tree over `count` values, at least one."""
    return max(1, -(-(count - 1).bit_length() // LEVELS))


class Reduction(Part):
    """Sum or maximum of `count` signed values. Throughput: a result every cycle. Latency: `stages(count)` cycles.

    Parameters
    ----------
    operation : "add", whose result grows by a bit per level, or "max".
    bits : width of a value.
    count : number of values.

    Members
    -------
    values : In, value 0 lowest
    result : Out
    """

    def __init__(self, operation: str, bits: int, count: int):
        self.result_bits = bits + ((count - 1).bit_length() if operation == "add" else 0)
        super().__init__({"values": In(bits * count), "result": Out(signed(self.result_bits))})

    def build(self, m, platform):
        reduce = add_tree if self.operation == "add" else max_tree
        values = [self.values[n * self.bits : (n + 1) * self.bits].as_signed() for n in range(self.count)]
        for stage in range(stages(self.count)):
            parts = [reduce(values[n : n + FAN_IN]) for n in range(0, len(values), FAN_IN)]
            values = [registered(m, f"stage_{stage}_{n}", v, signed(len(v))) for n, v in enumerate(parts)]
        m.d.comb += self.result.eq(values[0])
