"""Logic depth: LUTs in a row between registers, through all modules of a design.

A module is known to the one that places it by its `Boundary`: how deep its inputs lie before its registers, its
outputs behind them, and how deep the paths are that lead from an input to an output past all registers. So paths
that cross modules are found where they close, and no netlist is ever flat.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from einloom.fpga.netlist import DSPS, FLIP_FLOPS, Bit, Instance, Netlist
from einloom.fpga.recipes import Cell

# A DSP's multiplier and its adder, where no register parts them from the logic around, count as LUTs of similar delay.
MULTIPLIER = 2
ADDER = 2

Pin = tuple[str, int]
"""A bit of a port."""

Point = tuple[int, str]
"""LUTs from or to a register, and that register's name."""


@dataclass(frozen=True, order=True)
class Path:
    """A longest path: its LUTs, and the names of where it starts and ends."""

    levels: int
    start: str
    end: str


@dataclass
class Boundary:
    """A module as its parent sees it.

    Attributes
    ----------
    before : deepest way from each input to a register.
    behind : deepest way from a register to each output.
    through : LUTs to each output from each input that reaches it past all registers.
    levels : LUTs of the deepest path, wherever it starts and ends.
    paths : deepest paths from register to register that no child has for itself.
    """

    before: dict[Pin, Point] = field(default_factory=dict)
    behind: dict[Pin, Point] = field(default_factory=dict)
    through: dict[Pin, dict[Pin, int]] = field(default_factory=dict)
    levels: int = 0
    paths: list[Path] = field(default_factory=list)


class _Graph:
    """A netlist as bits with edges between them; starts and ends are registers inside."""

    def __init__(self) -> None:
        self.sources: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """Edges by bit: (bit that it depends on, LUTs between)."""
        self.starts: dict[int, Point] = {}
        self.ends: dict[int, Point] = {}

    def edge(self, source: Bit, sink: Bit, levels: int) -> None:
        if isinstance(source, int) and isinstance(sink, int):
            self.sources[sink].append((source, levels))

    def start(self, bit: Bit, levels: int, name: str) -> None:
        if isinstance(bit, int) and self.starts.get(bit, (-1, ""))[0] < levels:
            self.starts[bit] = (levels, name)

    def end(self, bit: Bit, levels: int, name: str) -> None:
        if isinstance(bit, int) and self.ends.get(bit, (-1, ""))[0] < levels:
            self.ends[bit] = (levels, name)

    def order(self) -> list[int]:
        """All bits, each behind those that it depends on; a bit of a combinational loop is behind some of them."""
        done: set[int] = set()
        order: list[int] = []
        bits = {*self.sources, *self.starts, *self.ends, *(s for pairs in self.sources.values() for s, _ in pairs)}
        for first in sorted(bits):
            stack: list[tuple[int, bool]] = [(first, False)]
            while stack:
                bit, leaving = stack.pop()
                if leaving:
                    order.append(bit)
                elif bit not in done:
                    done.add(bit)
                    stack.append((bit, True))
                    stack.extend((source, False) for source, _ in self.sources.get(bit, ()) if source not in done)
        return order


def depth(
    netlist: Netlist, children: Mapping[str, Boundary], library: Mapping[str, Cell], *, above: int = 8
) -> Boundary:
    """The boundary of a module whose children's are known.

    Parameters
    ----------
    library : the cells that are no primitives of the FPGA; each that holds no state is a level.
    above : paths with more LUTs than this are listed, and always the deepest one.
    """
    graph = _Graph()
    for cell in netlist.cells:
        if cell.type in children:
            _place(graph, cell, children[cell.type])
        else:
            _primitive(graph, cell, netlist.names, library)
    order = graph.order()
    arrival = _arrivals(graph, order)
    inputs = {bit: (port, n) for port, bits in netlist.inputs.items() for n, bit in enumerate(bits) if bit != "x"}
    outputs = {(port, n): bit for port, bits in netlist.outputs.items() for n, bit in enumerate(bits)}
    through = _through(graph, order, {b: p for b, p in inputs.items() if isinstance(b, int)}, outputs)
    remaining = _remaining(graph, order)
    boundary = Boundary(
        before={pin: remaining[bit] for bit, pin in inputs.items() if bit in remaining},
        behind={pin: arrival[bit] for pin, bit in outputs.items() if bit in arrival},
        through=through,
    )
    paths = [Path(arrival[b][0] + end[0], arrival[b][1], end[1]) for b, end in graph.ends.items() if b in arrival]
    boundary.paths = deepest(paths, above)
    boundary.levels = max(
        *(path.levels for path in paths),
        *(levels for levels, _ in (*boundary.before.values(), *boundary.behind.values())),
        *(levels for sources in through.values() for levels in sources.values()),
        *(children[kind].levels for kind in netlist.instances.values()),
        0,
        0,
    )
    return boundary


def deepest(paths: Iterable[Path], above: int) -> list[Path]:
    """Paths above a limit, and the deepest one. Of paths whose registers differ in numbers only, one is kept."""
    kept: dict[tuple[str, str], Path] = {}
    for path in paths:
        key = (_register(path.start), _register(path.end))
        if key not in kept or kept[key] < path:
            kept[key] = path
    ordered = sorted(kept.values(), reverse=True)
    return [path for n, path in enumerate(ordered) if path.levels > above or n == 0]


def _register(name: str) -> str:
    """A register's name without numbers: of bits, of copies, of memory channels, of Yosys' own names."""
    return re.sub(r"\d+", "", name)


def _place(graph: _Graph, cell: Instance, child: Boundary) -> None:
    for (port, n), (levels, name) in child.before.items():
        if port in cell.inputs:
            graph.end(cell.inputs[port][n], levels, f"{cell.name}.{name}")
    for (port, n), (levels, name) in child.behind.items():
        if port in cell.outputs:
            graph.start(cell.outputs[port][n], levels, f"{cell.name}.{name}")
    for (port, n), sources in child.through.items():
        if port in cell.outputs:
            for (source, m), levels in sources.items():
                if source in cell.inputs:
                    graph.edge(cell.inputs[source][m], cell.outputs[port][n], levels)


def _primitive(graph: _Graph, cell: Instance, names: Mapping[int, str], library: Mapping[str, Cell]) -> None:
    inputs = [bit for pin, bits in cell.inputs.items() if pin not in ("C", "CLK", "WCLK") for bit in bits]
    outputs = [bit for bits in cell.outputs.values() for bit in bits]
    if cell.type in DSPS:
        _dsp(graph, cell)
    elif cell.type.startswith(("LUT", "MUXF", "CARRY", "INV")):
        # Carry chains and wide multiplexers belong to the LUTs in front of them.
        levels = 1 if cell.type.startswith(("LUT", "INV")) else 0
        for source, sink in _carry_edges(cell) if cell.type == "CARRY4" else _all_edges(inputs, outputs):
            graph.edge(source, sink, levels)
    elif cell.type.startswith("RAM") and not cell.type.startswith("RAMB"):
        _distributed(graph, cell, outputs)
    elif cell.type in library and not library[cell.type].sequential:
        for source, sink in _all_edges(inputs, outputs):
            graph.edge(source, sink, 1)
    else:
        named = next((names[bit] for bit in outputs if isinstance(bit, int) and bit in names), cell.name)
        register = cell.type in FLIP_FLOPS or cell.type in library
        for bit in outputs:
            graph.start(bit, 0, names.get(bit, cell.name) if register and isinstance(bit, int) else cell.name)
        for bit in inputs:
            graph.end(bit, 0, named if register else cell.name)


def _all_edges(inputs: list[Bit], outputs: list[Bit]) -> Iterator[tuple[Bit, Bit]]:
    return ((source, sink) for sink in outputs for source in inputs)


def _carry_edges(cell: Instance) -> Iterator[tuple[Bit, Bit]]:
    """A sum depends on its own operand and on what is below; a carry also on its own data."""
    below = [*cell.inputs["CI"], *cell.inputs["CYINIT"]]
    for n, (sum_bit, carry) in enumerate(zip(cell.outputs["O"], cell.outputs["CO"], strict=True)):
        operand, data = cell.inputs["S"][n], cell.inputs["DI"][n]
        yield from ((source, sum_bit) for source in (*below, operand))
        yield from ((source, carry) for source in (*below, operand, data))
        below = [carry]


def _distributed(graph: _Graph, cell: Instance, outputs: list[Bit]) -> None:
    """A memory in LUTs: writes are clocked, a read is one LUT behind its address."""
    for bit in outputs:
        graph.start(bit, 1, cell.name)
    for pin, bits in cell.inputs.items():
        if pin.startswith("WCLK"):
            continue
        for bit in bits:
            graph.end(bit, 0, cell.name)
            if pin.startswith(("A", "DPRA")):
                port = pin.removeprefix("ADDR") if pin.startswith("ADDR") else ""
                sinks = cell.outputs.get(f"DO{port}", []) if port else outputs
                for sink in sinks:
                    graph.edge(bit, sink, 1)


def _dsp(graph: _Graph, cell: Instance) -> None:
    """Add a DSP to the graph. Its registers at the operands, behind the multiplier and behind the adder end paths where
    they are in use."""
    product, result = cell.number("MREG", 1), cell.number("PREG", 1)
    outputs = [bit for pin in ("P", "PCOUT") for bit in cell.outputs.get(pin, [])]
    for bit in outputs:
        graph.start(bit, 0 if result else ADDER if product else ADDER + MULTIPLIER, cell.name)
    for pin, bits in cell.inputs.items():
        if pin in ("CLK", "ACIN", "BCIN"):
            continue
        operand = pin in ("A", "B", "D")
        registered = cell.number(f"{pin}REG", 1) if operand or pin == "C" else pin not in ("PCIN", "CARRYIN")
        to_product = MULTIPLIER if operand else 0
        for bit in bits:
            if registered or (operand and product) or result:
                inside = 0 if registered else to_product + (0 if operand and product else ADDER)
                graph.end(bit, inside, cell.name)
            else:
                for sink in outputs:
                    graph.edge(bit, sink, to_product + ADDER)


def _arrivals(graph: _Graph, order: list[int]) -> dict[int, Point]:
    """Deepest way from a register to each bit."""
    arrival: dict[int, Point] = dict(graph.starts)
    for bit in order:
        for source, levels in graph.sources.get(bit, ()):
            if source in arrival:
                reached = arrival[source][0] + levels
                if bit not in arrival or reached > arrival[bit][0]:
                    arrival[bit] = (reached, arrival[source][1])
    return arrival


def _remaining(graph: _Graph, order: list[int]) -> dict[int, Point]:
    """Deepest way from each bit to a register."""
    remaining: dict[int, Point] = dict(graph.ends)
    for bit in reversed(order):
        if bit in remaining:
            for source, levels in graph.sources.get(bit, ()):
                ahead = remaining[bit][0] + levels
                if source not in remaining or ahead > remaining[source][0]:
                    remaining[source] = (ahead, remaining[bit][1])
    return remaining


def _through(
    graph: _Graph, order: list[int], inputs: Mapping[int, Pin], outputs: Mapping[Pin, Bit]
) -> dict[Pin, dict[Pin, int]]:
    """LUTs to each output from each input that reaches it past all registers."""
    wanted = {bit for bit in outputs.values() if isinstance(bit, int)}
    for bit in reversed(order):
        if bit in wanted:
            wanted.update(source for source, _ in graph.sources.get(bit, ()))
    reached: dict[int, dict[Pin, int]] = {bit: {pin: 0} for bit, pin in inputs.items() if bit in wanted}
    for bit in order:
        if bit in wanted:
            for source, levels in graph.sources.get(bit, ()):
                for pin, before in reached.get(source, {}).items():
                    pins = reached.setdefault(bit, {})
                    pins[pin] = max(pins.get(pin, 0), before + levels)
    return {pin: reached[bit] for pin, bit in outputs.items() if isinstance(bit, int) and bit in reached}
