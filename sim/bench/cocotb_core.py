"""The cocotb side of core_bench.sv."""

import cocotb

from einloom.sim.bench.driver import SERVES, Bench

COUNTERS = ("cycles", "was_reset", "timed_out", "escaped", "violations", "signature")
RESET_CYCLES = 8
"""More than there are registers in the reset's way, in a kernel."""


@cocotb.test(skip=not SERVES)
async def serve(dut):
    """Carry out operations for another process until it hangs up."""
    bench = Bench(dut, COUNTERS)
    await bench.reset(RESET_CYCLES)
    await bench.serve()
