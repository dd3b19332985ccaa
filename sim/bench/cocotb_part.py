"""The cocotb side of the benches of single parts, which run batches for another process."""

import cocotb

from einloom.sim.bench.driver import SERVES, Bench


@cocotb.test(skip=not SERVES)
async def serve(dut):
    """Run batches for another process until it hangs up; it prepares and reads the files and does the checking."""
    bench = Bench(dut, ("cycles",))
    await bench.reset()
    await bench.serve()
