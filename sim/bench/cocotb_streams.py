"""The cocotb side of PartBench: the streams of stimulus.json through a part, and what came out into found.json."""

import json
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from einloom.sim.bench.driver import SETTINGS
from einloom.sim.bench.part_session import Mismatch, Session


@cocotb.test(skip="folder" not in SETTINGS)
async def streams(dut):
    """Drive all streams behind the rising edge of each cycle, and read them in its middle, when all has settled."""
    folder = Path(SETTINGS["folder"])
    stimulus = json.loads((folder / "stimulus.json").read_text())
    names, inputs = stimulus.pop("names"), stimulus.pop("inputs")
    session = Session(**stimulus)

    def port(name, member=""):
        return getattr(dut, f"{names[name]}__{member}" if member else names[name])

    for name in inputs:
        port(name).value = 0
    for name in session.feeds:
        port(name, "valid").value = 0
    for name in session.drains:
        port(name, "ready").value = 0
    has_clock = hasattr(dut, "rst")
    if has_clock:
        dut.rst.value = 1
    Clock(dut.clk, 2, unit="ns").start(start_high=False)
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    found = {}
    try:
        while not session.over:
            for name, member, value in session.drive():
                port(name, member).value = value
            await FallingEdge(dut.clk)
            ready = {name: int(port(name, "ready").value) for name in session.feeds}
            offered = {
                name: (int(port(name, "valid").value), int(port(name, "payload").value)) for name in session.drains
            }
            await RisingEdge(dut.clk)
            session.edge(ready, offered)
            session.close()
        drains = session.drains.values()
        found = {"words": {d.name: d.words for d in drains}, "cycles": {d.name: d.cycles for d in drains}}
    except Mismatch as mismatch:
        found = {"mismatch": str(mismatch)}
    (folder / "found.json").write_text(json.dumps(found))
