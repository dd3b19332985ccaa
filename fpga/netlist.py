"""The netlist of one module as Yosys writes it: its cells, and what they cost."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from einloom.fpga.recipes import Cell
from einloom.fpga.resources import Resources

Bit = int | str
"""A wire's number, or a constant: "0", "1", "x" or "z"."""

# LUTs that a distributed memory or a shift register takes. AMD UG574.
LUTS = {
    **{f"LUT{n}": 1 for n in range(1, 7)},
    **dict.fromkeys(("SRL16E", "SRLC16E", "SRLC32E", "INV"), 1),
    **dict.fromkeys(("RAM16X1S", "RAM32X1S", "RAM64X1S"), 1),
    **dict.fromkeys(("RAM32X1D", "RAM64X1D", "RAM128X1S"), 2),
    **dict.fromkeys(("RAM32M", "RAM64M", "RAM128X1D", "RAM256X1S"), 4),
    **dict.fromkeys(("RAM32M16", "RAM64M8", "RAM64X8SW", "RAM256X1D", "RAM512X1S"), 8),
}
FLIP_FLOPS = {"FDRE", "FDSE", "FDCE", "FDPE", "LDCE", "LDPE"}
DSPS = {"DSP48E1", "DSP48E2"}
BRAM36 = {"RAMB36E2": 1.0, "RAMB18E2": 0.5}
CARRY_BITS = 8


@dataclass(frozen=True)
class Instance:
    """A cell of a netlist, with its pins by name."""

    name: str
    type: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, list[Bit]]
    outputs: Mapping[str, list[Bit]]

    def number(self, parameter: str, default: int) -> int:
        """An integer parameter."""
        value = self.parameters.get(parameter, default)
        return int(value, 2) if isinstance(value, str) else int(value)


@dataclass
class Netlist:
    """One module's netlist.

    Attributes
    ----------
    inputs, outputs : the bits of each port.
    names : a readable name of each bit that has one.
    instances : the other modules of the design that it places, by the name of the instance.
    """

    inputs: dict[str, list[Bit]]
    outputs: dict[str, list[Bit]]
    cells: list[Instance]
    names: dict[int, str]
    instances: dict[str, str] = field(default_factory=dict)


def read_netlist(module: Mapping[str, Any], children: Mapping[str, Any]) -> Netlist:
    """The netlist in Yosys' JSON of a module that places modules named in `children`."""
    ports = {"input": {}, "output": {}}  # type: dict[str, dict[str, list[Bit]]]
    for name, port in module["ports"].items():
        ports[port["direction"]][name] = port["bits"]
    cells = []
    for name, cell in module["cells"].items():
        pins: dict[str, dict[str, list[Bit]]] = {"input": {}, "output": {}, "inout": {}}
        for pin, bits in cell["connections"].items():
            pins[cell["port_directions"][pin]][pin] = bits
        cells.append(Instance(name, cell["type"], cell["parameters"], pins["input"], pins["output"]))
    instances = {cell.name.removeprefix("\\"): cell.type for cell in cells if cell.type in children}
    return Netlist(ports["input"], ports["output"], cells, _names(module["netnames"]), instances)


def _names(wires: Mapping[str, Any]) -> dict[int, str]:
    """The shortest of each bit's names; those that Yosys made up only where there is no other."""
    names: dict[int, str] = {}
    for wire, entry in sorted(wires.items(), key=lambda item: (item[1]["hide_name"], len(item[0]), item[0])):
        for index, bit in enumerate(entry["bits"]):
            if isinstance(bit, int):
                readable = wire.removeprefix("\\")
                names.setdefault(bit, readable if len(entry["bits"]) == 1 else f"{readable}[{index}]")
    return names


def cost(netlist: Netlist, library: Mapping[str, Cell]) -> Resources:
    """Resources of the module, without those of the modules that it places."""
    kinds = Counter(cell.type for cell in netlist.cells)
    return Resources(
        lut=sum(LUTS.get(kind, 0) * count for kind, count in kinds.items()),
        ff=sum(count for kind, count in kinds.items() if kind in FLIP_FLOPS),
        carry8=_carry8(netlist),
        dsp=sum(count for kind, count in kinds.items() if kind in DSPS),
        bram36=sum(BRAM36.get(kind, 0.0) * count for kind, count in kinds.items()),
        uram=kinds["URAM288"],
        cells=sum(count for kind, count in kinds.items() if kind in library),
        area_um2=sum(library[kind].area_um2 * count for kind, count in kinds.items() if kind in library),
        memory_bits=sum(c.number("SIZE", 0) * c.number("WIDTH", 0) for c in netlist.cells if c.type == "$mem_v2"),
    )


def _carry8(netlist: Netlist) -> int:
    """Carry cells of 8 bits for the chains of Yosys' cells of 4: a chain takes whole ones."""
    cells = {cell.outputs["CO"][-1]: cell for cell in netlist.cells if cell.type in ("CARRY4", "CARRY8")}
    continued = {cell.inputs["CI"][0] for cell in cells.values()} & cells.keys()
    total = 0
    for last in cells.keys() - continued:
        bits, link = 0, last
        while link in cells:
            bits += len(cells[link].outputs["CO"])
            link = cells[link].inputs["CI"][0]
        total += -(-bits // CARRY_BITS)
    return total


def memory_homes(log: str) -> Iterator[tuple[str, str, str]]:
    """(module, memory, what it became) for each memory that Yosys' log speaks of."""
    for match in re.finditer(r"^mapping memory (\w+)\.(\S+) via \$__XILINX_(\w+?)_\w*$", log, re.MULTILINE):
        yield match[1], match[2], match[3].lower()
    for match in re.finditer(r"^using FF mapping for memory (\w+)\.(\S+)$", log, re.MULTILINE):
        yield match[1], match[2], "ff"
