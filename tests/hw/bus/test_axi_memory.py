"""The simulation's memory, driven by cocotbext-axi."""

import re
from pathlib import Path

from einloom.sim.verilator import Toolchain
from tests.bus.build import MEMORY, run_tests

BYTES, BEATS, BASE = 8, 1 << 10, 0x10_0000


def test_axi_memory(tmp_path: Path) -> None:
    text = MEMORY.read_text()
    values = {
        "DATA_BITS": 8 * BYTES,
        "ADDRESS_BITS": 40,
        "ID_BITS": 2,
        "SIZE": BEATS,
        "NUMBER": 3,
        "BASE": f"40'd{BASE}",
    }
    for name, value in values.items():
        text, count = re.subn(rf"(?<=parameter )((?:\[.*\] )?{name}) = \w+", rf"\1 = {value}", text)
        assert count == 1, name
    ports = re.findall(r"^ +(?:in|out)put +\w+ +(?:\[.*?\] +)?(\w+)", text, re.MULTILINE)
    executable = Toolchain().build({"axi_memory.sv": text}, "axi_memory", ports)
    run_tests(executable, tmp_path, "cocotb_axi_memory", {"bytes": BYTES, "beats": BEATS, "base": BASE})
