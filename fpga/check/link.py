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
    taken: dict[tuple[str, int], str] = {}
    connected = set()
    ports = {memory.name for memory in kernel.memories}
    board = kernel.board
    there = {"HBM": board.hbm_banks, "DDR": board.ddr_banks}
    for connection in connections:
        match = re.fullmatch(rf"{re.escape(kernel.instance)}\.(\w+):(HBM|DDR)\[(\d+)(?::(\d+))?\]", connection)
        if match is None:
            yield f"sp={connection} is not {kernel.instance}.PORT:HBM[BANK], HBM[FIRST:LAST] or DDR[BANK]"
            continue
        port, memory, first, last = match[1], match[2], int(match[3]), int(match[4] or match[3])
        if port not in ports:
            yield f"sp={connection}: the kernel has no port {port}"
        if port in connected:
            yield f"sp={connection}: {port} is connected twice"
        if not first <= last < there[memory]:
            have = f"the banks 0 to {there[memory] - 1}" if there[memory] else "none"
            yield f"sp={connection}: of {memory} the {board.name} has {have}"
        for bank in range(first, last + 1):
            if (memory, bank) in taken and taken[memory, bank] != port:
                other = taken[memory, bank]
                yield f"sp={connection}: {other} has {memory}[{bank}] too, and they would share its bandwidth"
                break
        taken |= {(memory, bank): port for bank in range(first, last + 1)}
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
