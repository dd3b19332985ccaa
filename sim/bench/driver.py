"""Common part of the benches' cocotb sides: drives a bench's ports, reports figures, serves other processes.

Settings come as JSON in the environment variable EINLOOM_BENCH: the design's manifest, the seed, the number of cases,
the file that takes the figures, and the address of the client to serve; benches may want more.
"""

import json
import os
from multiprocessing.connection import Client
from pathlib import Path

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

SETTINGS = json.loads(os.environ.get("EINLOOM_BENCH", "{}"))
SERVES = "address" in SETTINGS


class Bench:
    """Drives a bench with the ports clk, rst, start, done, timed_out and cycles.

    Parameters
    ----------
    dut : the bench's handle.
    counters : the ports that hold a batch's counters when it is done.
    """

    def __init__(self, dut, counters: tuple[str, ...]):
        self.dut = dut
        self.counters = counters
        self._clock = Clock(dut.clk, 2, unit="ns")
        self._ticking = False

    async def reset(self, cycles: int = 3, mutant: int | None = None):
        """Reset the design, and let it come out of that, each for so many cycles; the first time, start the clock.

        `mutant` is the fault that is active from then on, in a design that has some (benchmarks/mutate.py).
        """
        self.dut.start.value = 0
        if mutant is not None:
            self.dut.mutant.value = mutant
        self.dut.rst.value = 1
        if not self._ticking:
            self._clock.start(start_high=False)
            self._ticking = True
        await ClockCycles(self.dut.clk, cycles)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, cycles)

    async def run(self, ports: dict[str, int]) -> tuple[int, ...]:
        """Run one prepared batch; returns its counters."""
        for name, value in ports.items():
            getattr(self.dut, name).value = value
        self.dut.start.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.start.value = 0
        await RisingEdge(self.dut.done)
        cycles = self.dut.cycles.value.to_unsigned()
        if "timed_out" not in self.counters:
            assert not self.dut.timed_out.value, f"no result for a long time, {cycles} cycles"
        return tuple(int(getattr(self.dut, name).value) for name in self.counters)

    async def serve(self):
        """Run batches for another process until it hangs up; it prepares and reads the files and does the checking."""
        with Client(SETTINGS["address"], authkey=SETTINGS["key"].encode()) as client:
            while (ports := client.recv()) is not None:
                client.send(await self.run(ports))


def report(case: str, figures: dict[str, int]) -> None:
    """Append the figures of a batch to the file that takes them, which the caller reads while the bench runs."""
    with Path(SETTINGS["report"]).open("a") as file:
        file.write(json.dumps({"case": case, **figures}) + "\n")
