"""The passes of Yosys that make a netlist: of UltraScale+ primitives, or of the cells of a library."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from einloom.fpga import yosys

DESIGN = "design.v"
NETLIST = "netlist.json"
_WIDE_SHIFTS = "techmap -map wide_shift.v t:$shl t:$shr t:$sshl t:$sshr"
_HARD_BLOCKS = ("DSP48E2", "RAMB18E2", "RAMB36E2", "URAM288")
"""The primitives that a design can use, of the many that Yosys knows by their ports alone. Knowing them all takes half
the time of a run."""
_PRIMITIVES = ("read_verilog -lib -specify +/xilinx/cells_sim.v", "read_verilog -lib hard_blocks.v")
_ULTRASCALE = "synth_xilinx -family xcup -noiopad -noclkbuf -uram"


@dataclass(frozen=True)
class Cell:
    """A cell of a library: its area in square micrometres, and whether it holds a state."""

    area_um2: float
    sequential: bool


@dataclass(frozen=True)
class Recipe:
    """Passes of Yosys that make netlists of modules.

    Attributes
    ----------
    before, after : passes before and after the Verilog is read; the rest is the same for all modules.
    files : files that the passes read beside the Verilog, by name.
    cells : cells of the library, by name; none for an FPGA.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    files: Mapping[str, str]
    cells: Mapping[str, Cell]

    def passes(self, modules: list[str]) -> list[str]:
        """All passes for the Verilog in the file DESIGN, which leave the netlists of `modules` in NETLIST."""
        write = f"write_json -selected {NETLIST}"
        return [*self.before, f"read_verilog {DESIGN}", *self.after, f"select {' '.join(modules)}", write]

    @property
    def texts(self) -> tuple[str, ...]:
        """All that a netlist depends on beside the Verilog."""
        return (*self.before, *self.after, *(t for pair in self.files.items() for t in pair))


def _from_coarse(command: str) -> tuple[str, ...]:
    """The passes of the family behind DSPs. Reading the libraries of memories takes two seconds, so it is left out
    where there is none."""
    memories = f"if t:$mem_v2: {command} -run map_memory:map_ffram"
    return f"{command} -run coarse:map_memory", memories, f"{command} -run map_ffram:edif"


def ultrascale(*, dsp: bool = True) -> Recipe:
    """LUTs, registers, carry chains, DSPs and memories of UltraScale+.

    The passes of Yosys for this family leave multipliers without the registers and adders around them. So its own
    pass for DSPs is replaced by the one that packs the older DSP48E1, with multipliers of 27 x 18 bits; the netlist
    holds DSP48E1 where DSP48E2 will stand. Unsigned operands take one bit of sign; products of up to 8 bits stay in
    LUTs. Without `dsp` all do: what a design costs where there is none left.
    """
    if not dsp:
        plain = f"{_ULTRASCALE} -nodsp"
        after = (f"{plain} -run prepare:map_dsp", _WIDE_SHIFTS, *_from_coarse(plain))
        return Recipe(before=_PRIMITIVES, after=after, files=_hard_blocks() | _techmaps("wide_shift.v"), cells={})
    sizes = "-D DSP_A_MAXWIDTH=27 -D DSP_B_MAXWIDTH=18 -D DSP_A_MAXWIDTH_PARTIAL=18 -D DSP_A_MINWIDTH=2 "
    sizes += "-D DSP_B_MINWIDTH=2 -D DSP_Y_MINWIDTH=9 -D DSP_SIGNEDONLY=1 -D DSP_NAME=$__MUL27X18"
    return Recipe(
        before=_PRIMITIVES,
        after=(
            f"{_ULTRASCALE} -run prepare:map_dsp",
            "memory_dff",
            "alumacc -macc-only",
            "maccmap -unmap",
            "opt_clean",
            f"techmap -map +/mul2dsp.v -map dsp48e1.v {sizes}",
            "select a:mul2dsp",
            "setattr -unset mul2dsp",
            "opt_expr -fine",
            "wreduce",
            "select -clear",
            "xilinx_dsp -family xc7",
            "chtype -set $mul t:$__soft_mul",
            _WIDE_SHIFTS,
            *_from_coarse(_ULTRASCALE),
        ),
        files=_hard_blocks() | _techmaps("dsp48e1.v", "wide_shift.v"),
        cells={},
    )


def cell_library(libraries: Mapping[str, str]) -> Recipe:
    """Cells of Liberty files (texts by name), without memories, which stay as they are.

    Multipliers are Booth-encoded; ABC minimises area without a constraint on delay.
    """
    cells = {name: cell for text in libraries.values() for name, cell in liberty_cells(text).items()}
    named = {f"cells{n}.lib": text for n, text in enumerate(libraries.values())}
    options = " ".join(f"-liberty {name}" for name in named)
    registers = [name for name, text in named.items() if any(c.sequential for c in liberty_cells(text).values())]
    flip_flops = " ".join(f"-liberty {name}" for name in registers)
    return Recipe(
        before=tuple(f"read_liberty -lib -ignore_miss_func {name}" for name in named),
        after=(
            "proc",
            "opt -nodffe -nosdff",
            "fsm",
            "opt",
            "wreduce",
            "peepopt",
            "opt_clean",
            _WIDE_SHIFTS,
            "booth",
            "alumacc",
            "share",
            "opt",
            "memory -nomap",
            "opt_clean",
            "opt -fast -full",
            "techmap",
            "opt -fast",
            f"dfflibmap {flip_flops}",
            "opt",
            f"abc {options}",
            "opt_clean",
        ),
        files={**named, **_techmaps("wide_shift.v")},
        cells=cells,
    )


def _hard_blocks() -> dict[str, str]:
    """The declarations of _HARD_BLOCKS."""
    text = yosys.shared_text("xilinx/cells_xtra.v")
    modules = (re.search(rf"^module {name} ?\(.*?^endmodule$", text, re.MULTILINE | re.DOTALL) for name in _HARD_BLOCKS)
    return {"hard_blocks.v": "\n".join(module[0] for module in modules if module) + "\n"}


def _techmaps(*names: str) -> dict[str, str]:
    return {name: (files("einloom.fpga") / "techmap" / name).read_text() for name in names}


def liberty_cells(text: str) -> dict[str, Cell]:
    """The cells of a Liberty file by name."""
    starts = [(m[1], m.end()) for m in re.finditer(r"\bcell\s*\(\s*\"?(\w+)\"?\s*\)\s*\{", text)]
    ends = [start for _, start in starts[1:]] + [len(text)]
    cells = {}
    for (name, start), end in zip(starts, ends, strict=True):
        area = re.compile(r"\barea\s*:\s*\"?([\d.eE+-]+)").search(text, start, end)
        state = re.compile(r"\b(?:ff|latch|ff_bank|latch_bank|statetable)\s*\(").search(text, start, end)
        cells[name] = Cell(float(area[1]) if area else 0.0, state is not None)
    return cells
