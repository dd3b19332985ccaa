"""Amaranth's conversion to RTLIL, without the initial contents of memories.

Memories of an FPGA are 0 at first, and no part reads a word that it has not written. Amaranth 0.5 writes every bit of
every memory's contents, which takes nearly half of the time of generating a core.
"""

from collections.abc import Iterable
from typing import Any

import amaranth.back.rtlil as rtlil
from amaranth.hdl import _ir, _nir
from amaranth.hdl._ast import SignalDict
from amaranth.lib import wiring

from einloom.hw.part import Part


class _ModuleEmitter(rtlil.ModuleEmitter):
    def emit_memory(self, cell_idx: int, cell: Any) -> None:
        """Nothing: the memory itself is declared elsewhere, and this would set its contents."""

    def sigspec(self, *parts: "_nir.Net | Iterable[_nir.Net]") -> str:
        """As Amaranth's, for values that are one piece of one wire, as most are: these are found without a copy."""
        if len(parts) == 1 and isinstance(parts[0], _nir.Value) and parts[0] and not parts[0][0].is_const:
            value = parts[0]
            wire, start = self.nets[value[0]]
            nets = self.nets
            if all(net > 1 and nets[net] == (wire, start + n) for n, net in enumerate(value)):
                width = len(value)
                return f"{wire.name} [{start}]" if width == 1 else f"{wire.name} [{start + width - 1}:{start}]"
        text: str = super().sigspec(*parts)
        return text


def convert(part: Part, name: str, platform: object) -> str:
    """The RTLIL of `part` as the module `name`."""
    ports = {}
    for path, member, value in part.signature.flatten(part):
        direction = _ir.PortDirection.Input if member.flow == wiring.In else _ir.PortDirection.Output
        ports["__".join(map(str, path))] = (getattr(value, "as_value", lambda value=value: value)(), direction)
    netlist = _ir.build_netlist(_ir.Fragment.get(part, platform), ports=ports, name=name)
    empty = rtlil.EmptyModuleChecker(netlist)
    design = rtlil.Design(emit_src=False)
    for index, module in enumerate(netlist.modules):
        if empty.is_empty(index):
            continue
        builder = design.module(".".join(module.name), src_loc=module.src_loc)
        if index == 0:
            builder.attribute("top", 1)
        _ModuleEmitter(builder, netlist, module, SignalDict(), empty_checker=empty).emit()
    return str(design)
