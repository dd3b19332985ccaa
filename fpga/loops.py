"""Modules that are nothing but copies of another in a generate loop: counted and measured without Yosys.

An array of 256 rows of 256 PEs has millions of wires between its rows, all alike. What a loop costs is a product, and
every path between two copies is one between neighbours.
"""

import re
from dataclasses import dataclass

from einloom.fpga.depth import Boundary, Path, Pin, deepest


@dataclass(frozen=True)
class Loop:
    """A generate loop as generators/emit.py writes it.

    Attributes
    ----------
    child, count : module that is copied, and number of copies.
    slices : bits of a copy's slice of each port that is cut into slices.
    chain : (input, output) that leads from each copy to the next lower one; the loop has ports of the same names.
    """

    child: str
    count: int
    slices: dict[str, int]
    chain: tuple[str, str] | None


def parse_loop(text: str) -> Loop | None:
    """The loop that a module consists of; None when it is any other module."""
    head = re.search(r"for \(n = 0; n < (\d+); n = n \+ 1\) begin : copy\n +(\w+) part\(", text)
    if head is None:
        return None
    slices = {m[1]: int(m[2]) for m in re.finditer(r"\.(\w+)\(\w+\[n \* (\d+) \+: \d+\]\)", text)}
    source, sink = (re.search(rf"\.(\w+)\(chain\[{index}\]\)", text) for index in (r"n \+ 1", "n"))
    return Loop(head[2], int(head[1]), slices, (source[1], sink[1]) if source and sink else None)


def loop_boundary(loop: Loop, child: Boundary, above: int) -> Boundary:
    """The boundary of the loop from its child's. Paths above `above` levels are listed, and the deepest."""
    boundary = Boundary(levels=child.levels)
    for pin, (levels, name) in child.before.items():
        for copy, outer in _outer(loop, pin):
            boundary.before[outer] = (levels, f"copy[{copy}].part.{name}")
    for pin, (levels, name) in child.behind.items():
        for copy, outer in _outer(loop, pin):
            boundary.behind[outer] = (levels, f"copy[{copy}].part.{name}")
    for pin, sources in child.through.items():
        for copy, outer in _outer(loop, pin):
            boundary.through[outer] = {_of_copy(loop, source, copy): levels for source, levels in sources.items()}
    if loop.chain and loop.count > 1:
        _close_chain(loop, loop.chain, child, boundary, above)
    return boundary


def _outer(loop: Loop, pin: Pin) -> list[tuple[int, Pin]]:
    """(copy, pin of the loop) for each copy whose `pin` leads outside; one copy stands for all on a shared port."""
    port, bit = pin
    if port in loop.slices:
        return [(copy, (port, copy * loop.slices[port] + bit)) for copy in range(loop.count)]
    return [(loop.count - 1 if loop.chain and port == loop.chain[0] else 0, pin)]


def _of_copy(loop: Loop, pin: Pin, copy: int) -> Pin:
    port, bit = pin
    return (port, copy * loop.slices[port] + bit) if port in loop.slices else pin


def _close_chain(loop: Loop, chain: tuple[str, str], child: Boundary, boundary: Boundary, above: int) -> None:
    """Paths from a copy to a lower one. A way through a copy without a register counts at every copy it passes."""
    source, sink = chain
    ways = [n for (port, _), pins in child.through.items() if port == sink for p, n in pins.items() if p[0] == source]
    passed = max(ways, default=0) * (loop.count - 2)
    last = 0 if ways else loop.count - 2
    paths = []
    for (port, bit), (levels, name) in child.behind.items():
        if port == sink and (source, bit) in child.before:
            ahead, end = child.before[source, bit]
            start = f"copy[{loop.count - 1}].part.{name}"
            paths.append(Path(levels + passed + ahead, start, f"copy[{last}].part.{end}"))
    boundary.paths = deepest(paths, above)
    boundary.levels = max(boundary.levels, *(path.levels for path in paths), 0)
    for (port, _), pins in boundary.through.items():
        for pin in pins:
            if port == sink and pin[0] == source:
                pins[pin] += max(ways) * (loop.count - 1)
                boundary.levels = max(boundary.levels, pins[pin])
