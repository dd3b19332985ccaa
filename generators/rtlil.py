"""Amaranth's conversion to RTLIL, without the initial contents of memories.

Memories of an FPGA are 0 at first, and no part reads a word that it has not written. Amaranth 0.5 writes every bit of
every memory's contents, which takes nearly half of the time of generating a core.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from typing import Any

import amaranth.back.rtlil as rtlil
from amaranth.hdl import _ir as amaranth_ir
from amaranth.hdl import _nir as amaranth_nir
from amaranth.hdl._ast import SignalDict
from amaranth.lib import wiring

from einloom.hw.part import Part

# Amaranth's own stages, which its type stubs leave out.
_ir: Any = amaranth_ir
_nir: Any = amaranth_nir


class _ModuleEmitter(rtlil.ModuleEmitter):
    def emit_memory(self, cell_idx: int, cell: Any) -> None:
        """Do nothing: Amaranth's method sets a memory's contents; the memory itself is declared elsewhere."""

    def sigspec(self, *parts: Any) -> str:
        """Amaranth's method with a short cut: most values are one piece of one wire, which is found without a copy."""
        if len(parts) == 1 and isinstance(parts[0], _nir.Value) and parts[0] and not parts[0][0].is_const:
            value = parts[0]
            wire, start = self.nets[value[0]]
            nets = self.nets
            if all(net > 1 and nets[net] == (wire, start + n) for n, net in enumerate(value)):
                width = len(value)
                return f"{wire.name} [{start}]" if width == 1 else f"{wire.name} [{start + width - 1}:{start}]"
        text: str = super().sigspec(*parts)
        return text


def convert(part: Part, name: str, platform: object, *, sources: bool = False) -> str:
    """The RTLIL of `part` as the module `name`; amaranth.hdl.CombinationalCycle when its logic runs in a circle.

    With `sources`, attributes say which line of which file each wire and cell comes from.
    """
    ports = {}
    for path, member, value in part.signature.flatten(part):
        direction = _ir.PortDirection.Input if member.flow == wiring.In else _ir.PortDirection.Output
        ports["__".join(map(str, path))] = (getattr(value, "as_value", lambda value=value: value)(), direction)
    netlist = _netlist(_ir.Fragment.get(part, platform), ports, name)
    empty = rtlil.EmptyModuleChecker(netlist)
    design = rtlil.Design(emit_src=sources)
    for index, module in enumerate(netlist.modules):
        if empty.is_empty(index):
            continue
        builder = design.module(".".join(module.name), src_loc=module.src_loc)
        if index == 0:
            builder.attribute("top", 1)
        _ModuleEmitter(builder, netlist, module, SignalDict(), empty_checker=empty).emit()
    return str(design)


class _Netlist(_nir.Netlist):
    """Amaranth's netlist, whose bits are made and resolved by the value, not one by one."""

    def add_value_cell(self, width: int, cell: Any) -> Any:
        first = _nir.Net.from_cell(self.add_cell(cell), 0)
        return _nir.Value(map(_nir.Net, range(first, first + width)))

    def alloc_late_value(self, signal: Any) -> Any:
        width = len(signal)
        self.last_late_net -= width
        value = _nir.Value(map(_nir.Net, range(self.last_late_net, self.last_late_net + width)))
        self.late_to_signal.update((net, (signal, bit)) for bit, net in enumerate(value))
        return value

    def follow_connections(self) -> bool:
        """Make each chain of connections one, from its first to its last bit; False if one has no end."""
        for net, source in self.connections.items():
            hops = 0
            while source < 0:
                source, hops = self.connections[source], hops + 1
                if hops > len(self.connections):
                    return False
            self.connections[net] = source
        return True

    def resolve_value(self, value: Any) -> Any:
        if not value or min(value) >= 0:  # none of its bits is late
            return value
        connections = self.connections
        return _nir.Value([net if net >= 0 else connections[net] for net in value])


@contextmanager
def _unchecked_values() -> Iterator[None]:
    """In the block, Amaranth's values are made without a look at each bit, which took a fifth of a core's time."""

    def unchecked(cls: type, nets: Any = ()) -> Any:
        return tuple.__new__(cls, (nets,) if isinstance(nets, _nir.Net) else nets)

    checked = _nir.Value.__dict__["__new__"]
    _nir.Value.__new__ = unchecked
    try:
        yield
    finally:
        _nir.Value.__new__ = checked


def _netlist(fragment: Any, ports: dict[str, Any], name: str) -> Any:
    """The steps of Amaranth's `build_netlist`, with a search for circles that is linear.

    Amaranth's follows each bit of a sum or a shift to each bit of its operands, which is quadratic in their width and
    took 90 % of the time of generating a wide core.
    """
    design = fragment.prepare(ports=ports, hierarchy=(name,))
    netlist = _Netlist()
    with _unchecked_values():
        _ir._emit_netlist(netlist, design, all_undef_to_ff=False)
        if not (netlist.follow_connections() and _cells_are_in_order(netlist)) and _has_circle(netlist):
            netlist.check_comb_cycles()  # says where
        netlist.resolve_all_nets()
    _ir._compute_net_flows(netlist)
    _ir._compute_ports(netlist)
    _ir._compute_ionet_dirs(netlist)
    _ir._compute_io_ports(netlist, design.ports)
    return netlist


def _cells_are_in_order(netlist: _Netlist) -> bool:
    """True when no cell depends on itself as a whole, without a register between. Then no bit does."""
    behind: dict[int, set[int]] = {}
    for number, cell in enumerate(netlist.cells):
        if isinstance(cell, LOGIC):
            nets = (net if net >= 0 else netlist.connections[net] for net in cell.input_nets())
            behind[number] = {net >> CELL_SHIFT for net in nets}
    try:
        TopologicalSorter(behind).prepare()
    except CycleError:
        return False
    return True


def _has_circle(netlist: Any) -> bool:
    """True when a bit depends on itself without a register between.

    A depth-first search over bits. A cell each of whose outputs depends on all inputs is one node of its own, between
    its outputs and its inputs.
    """
    done, open_ = {0, 1}, set[int]()  # the constants depend on nothing
    for start in [*netlist.connections]:
        stack = [(int(start), iter(_behind(netlist, start)))]
        open_.add(int(start))
        while stack:
            node, behind = stack[-1]
            for net in behind:
                if net in done:
                    continue
                if net in open_:
                    return True
                open_.add(net)
                stack.append((net, iter(_behind(netlist, net))))
                break
            else:
                stack.pop()
                open_.discard(node)
                done.add(node)
    return False


CELL_SHIFT = 16
"""Amaranth's number of a bit: that of its cell above so many bits of its place in the cell."""
LOGIC = (_nir.Operator, _nir.Part, _nir.Matches, _nir.PriorityMatch, _nir.AssignmentList, _nir.AsyncReadPort)
"""Cells whose outputs depend on their inputs in the same cycle."""
HUBS = -(1 << 62)
"""Numbers of nodes that stand for whole cells begin here, far from those of signals, which are negative too."""


def _behind(netlist: Any, node: int) -> Iterable[int]:
    """The nodes that a node depends on: nets, or the hub of a cell."""
    if node < HUBS >> 1:
        return [net for net, _ in netlist.cells[node - HUBS].comb_edges_to(0)]
    if node < 0:
        return (netlist.connections[node],)
    cell = netlist.cells[node >> CELL_SHIFT]
    if isinstance(cell, _nir.Part | _nir.Matches | _nir.AsyncReadPort) or (
        isinstance(cell, _nir.Operator) and len(cell.inputs) < 3 and cell.operator not in BITWISE
    ):
        return (HUBS + (node >> CELL_SHIFT),)
    return [source for source, _ in cell.comb_edges_to(node & (1 << CELL_SHIFT) - 1)]


BITWISE = ("~", "&", "|", "^")
"""Operators of which each bit depends on the same bit of the operands alone."""
