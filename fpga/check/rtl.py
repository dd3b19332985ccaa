"""The kernel's Verilog: its ports against the manifest, and whether the tools take it."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from einloom.fpga.check.report import Finding
from einloom.fpga.kernel.interface import KernelInterface
from einloom.fpga.kernel.wrapper import CLOCK, CORE_CLOCK, CORE_RESET, RESET
from einloom.spec.errors import InputError
from einloom.spec.manifest import Manifest
from einloom.spec.tool_environment import tool_environment

PORT = re.compile(r"^\s*(input|output)\s+(?:wire\s+|reg\s+)?(?:\[(\d+):0\]\s*)?(\w+)\s*[,;]?$", re.MULTILINE)
CONNECTION = re.compile(r"^\s*\.(\w+)\((.*?)\),?$", re.MULTILINE)
INVERTED = re.compile(rf"(?<![\w~!])[~!]\s*{RESET}\b")
SLANG = """
import sys
from pyslang import driver
slang = driver.Driver()
slang.addStandardArgs()
taken = slang.parseCommandLine(sys.argv[1]) and slang.processOptions() and slang.parseAllSources()
sys.exit(0 if taken and slang.runFullCompilation(True) else 1)
"""
"""A slang command in a process of its own, because it prints what it finds."""
YOSYS = """
import sys
from pyosys import libyosys
from einloom.spec.tool_environment import tool_environment
design = libyosys.Design()
for line in sys.argv[1:]:
    design.run_pass(line)
"""
INSTANCE = re.compile(r"^\s+(?:\\)?(\w+)\s+(?:#\(.*?\)\s*)?(\w+)\s*\($", re.MULTILINE)


def port_problems(rtl: Path, manifest: Manifest, kernel: KernelInterface) -> list[str]:
    """Differences between the top module's ports and the manifest's, under Vitis' names for clock and reset."""
    path = rtl / f"{kernel.name}.v"
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    found = {name: (direction, int(high or 0) + 1) for direction, high, name in PORT.findall(text)}
    wanted = {p.name: (p.direction, p.width) for p in manifest.ports if p.name not in (CORE_CLOCK, CORE_RESET)}
    wanted |= {CLOCK: ("input", 1), RESET: ("input", 1)}
    problems = [f"port {name} is missing" for name in wanted.keys() - found.keys()]
    problems += [f"port {name} is none of the design's" for name in found.keys() - wanted.keys()]
    problems += [
        f"port {name} is {' of width '.join(map(str, found[name]))}, not {' of width '.join(map(str, wanted[name]))}"
        for name in found.keys() & wanted.keys()
        if found[name] != wanted[name]
    ]
    return sorted(problems) + list(_connections(text))


def _connections(text: str) -> Iterator[str]:
    """Ports of the core that the top module connects with another of its ports, and a reset that is not inverted."""
    connections = dict(CONNECTION.findall(text))
    for name, wire in connections.items():
        if name == CORE_CLOCK and wire != CLOCK:
            yield f"the core's {name} is connected with {wire}, not {CLOCK}"
        elif name not in (CORE_CLOCK, CORE_RESET) and wire != name:
            yield f"the core's {name} is connected with {wire}"
    if not INVERTED.search(text):
        yield f"{RESET} is nowhere inverted, and 1 resets the core"


def slang_problems(sources: list[Path], top: str) -> list[str] | Finding:
    """Complaints of slang, warnings included."""
    try:
        import pyslang  # noqa: F401
    except ImportError:
        return Finding("rtl-slang", skipped="pyslang is not installed")
    command = [sys.executable, "-c", SLANG, f"slang -Werror --top {top} {' '.join(map(str, sources))}"]
    done = _run(command)
    return [] if done.returncode == 0 else (done.stderr or done.stdout).strip().splitlines()[:5]


def yosys_problems(sources: list[Path], top: str) -> list[str] | Finding:
    """Complaints of Yosys: unknown modules and ports, wires that nothing or more than one thing drives."""
    if importlib.util.find_spec("pyosys") is None:
        return Finding("rtl-yosys", skipped="pyosys is not installed")
    reads = [f"read_verilog {source}" for source in sources]
    passes = [*reads, f"hierarchy -check -top {top}", "proc", "check -assert"]
    done = _run([sys.executable, "-c", YOSYS, *passes])
    return [] if done.returncode == 0 else (done.stderr + done.stdout).strip().splitlines()[-5:]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=tool_environment())


def floorplan_problems(floorplan: str, verilog: str, manifest: Manifest) -> list[str]:
    """Cells that the floorplan names and the design does not have."""
    modules = {
        match[1]: {name: module for module, name in INSTANCE.findall(match[2])}
        for match in re.finditer(r"^module (\w+)\s*\((.*?)^endmodule", verilog, re.MULTILINE | re.DOTALL)
    }
    problems = []
    for path in re.findall(r"\*core/([\w*/]+)\}", floorplan):
        found = {manifest.top}
        for part in path.split("/"):
            pattern = re.compile(part.replace("*", r"\w*") + "$")
            found = {
                module for parent in found for name, module in modules.get(parent, {}).items() if pattern.match(name)
            }
        if not found:
            problems.append(f"no cell is called core/{path}")
    return problems
