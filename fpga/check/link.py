"""link.cfg against the kernel and the board: banks, dies, clock."""

import re
from collections.abc import Iterator

from einloom.fpga.boards import Board
from einloom.fpga.kernel.interface import KernelInterface
from einloom.fpga.kernel.vendor_files import KERNEL_CLOCK

SECTIONS = {"": {"kernel_frequency"}, "connectivity": {"nk", "sp", "slr"}}
"""Options by their sections; general ones stand before the first."""
PERIOD = re.compile(r"^create_clock\s.*-period\s+([\d.]+)\s+\[get_ports ap_clk\]", re.MULTILINE)


def link_problems(text: str, constraints: str, kernel: KernelInterface) -> list[str]:
    """Lines that v++ would refuse, or link to the wrong place, or at another clock than that of `constraints`."""
    options: dict[str, list[str]] = {}
    problems = []
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
            if section not in SECTIONS:
                problems.append(f"line {number}: unknown section [{section}]")
            continue
        key, equals, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or key not in SECTIONS.get(section, ()):
            problems.append(f"line {number}: [{section}] has no option {key!r}")
        options.setdefault(key, []).append(value)
    if options.get("nk") != [f"{kernel.name}:1:{kernel.instance}"]:
        problems.append(f"nk is {options.get('nk')}; the kernel is {kernel.name}, its instance {kernel.instance}")
    problems += _banks(options.get("sp", []), kernel)
    problems += _place(options, kernel.instance, kernel.board)
    problems += _clock(options.get("kernel_frequency", []), constraints)
    return problems


def _banks(connections: list[str], kernel: KernelInterface) -> Iterator[str]:
    taken: dict[int, str] = {}
    connected = set()
    ports = {memory.name for memory in kernel.memories}
    for connection in connections:
        match = re.fullmatch(rf"{re.escape(kernel.instance)}\.(\w+):HBM\[(\d+)\]", connection)
        if match is None:
            yield f"sp={connection} is not {kernel.instance}.PORT:HBM[BANK]"
            continue
        port, bank = match[1], int(match[2])
        if port not in ports:
            yield f"sp={connection}: the kernel has no port {port}"
        if port in connected:
            yield f"sp={connection}: {port} is connected twice"
        if bank >= kernel.board.hbm_banks:
            yield f"sp={connection}: the {kernel.board.name} has the banks 0 to {kernel.board.hbm_banks - 1}"
        if bank in taken:
            yield f"sp={connection}: {taken[bank]} has that bank too, and they would share its bandwidth"
        taken[bank] = port
        connected.add(port)
    for port in sorted(ports - connected):
        yield f"{port} is connected to no bank"


def _place(options: dict[str, list[str]], instance: str, board: Board) -> Iterator[str]:
    for place in options.get("slr", []):
        match = re.fullmatch(rf"{re.escape(instance)}:SLR(\d+)", place)
        if match is None or int(match[1]) >= board.slrs:
            yield f"slr={place} is not {instance}:SLR0 to SLR{board.slrs - 1}"


def _clock(frequencies: list[str], constraints: str) -> Iterator[str]:
    matches = [re.fullmatch(rf"{KERNEL_CLOCK}:(\d+)", frequency) for frequency in frequencies]
    if len(matches) != 1 or matches[0] is None:
        yield f"kernel_frequency is {frequencies}, not one {KERNEL_CLOCK}:MHZ, the clock at ap_clk"
        return
    mhz = int(matches[0][1])
    periods = [float(period) for period in PERIOD.findall(constraints)]
    if periods != [round(1000 / mhz, 3)]:
        yield f"kernel_frequency is {mhz} MHz, and the constraints' periods of ap_clk are {periods} ns"
