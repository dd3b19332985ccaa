"""The texts for the vendor's tools that follow from a kernel: Tcl data, v++ options, constraints, FuseSoC core."""

import yaml

from einloom.fpga.boards import TOOLS
from einloom.fpga.floorplan import Plan
from einloom.fpga.kernel.interface import CONTROL, KernelInterface
from einloom.fpga.kernel.kernel_xml import LIBRARY, VENDOR, VERSION
from einloom.fpga.kernel.vivado_project import OUT_OF_CONTEXT

KERNEL_CLOCK = 0
"""Number of the platform's clock that is at ap_clk."""
MAX_BURST = 64
"""Longest burst, in beats, that the platform's interconnect makes room for."""
READS_OUTSTANDING, WRITES_OUTSTANDING = 32, 16
"""Bursts on their way that the platform's interconnect makes room for, on each port. A weight channel has up to 16
reads; the system's port is shared by three readers."""
AP_CTRL = (("CTRL", 0x00), ("GIER", 0x04), ("IP_IER", 0x08), ("IP_ISR", 0x0C))


def design_tcl(kernel: KernelInterface, sources: list[str]) -> str:
    """Tcl description of the kernel, which scripts/package_kernel.tcl reads."""
    registers = [(name, offset, 32, "") for name, offset in AP_CTRL]
    registers += [(a.name, a.offset, 8 * a.size, a.port if a.is_pointer else "") for a in kernel.arguments]
    memories = "\n".join(f"  {m.name} {'READ_WRITE' if m.writes else 'READ_ONLY'}" for m in kernel.memories)
    rows = "\n".join(f"  {{{name} {offset:#05x} {bits} {{{port}}}}}" for name, offset, bits, port in registers)
    return f"""\
# What the kernel is; read by package_kernel.tcl.
set tools {TOOLS}
set part {kernel.board.part}
set kernel {kernel.name}
set kernel_version {VERSION}
set vendor {VENDOR}
set library {LIBRARY}
set sources {{{" ".join(sources)}}}
set control {CONTROL}
# The memory ports, and whether they have write channels.
set memories {{
{memories}
}}
# What each of those does: whole beats in bursts of rising addresses.
set bursts {{
  SUPPORTS_NARROW_BURST 0
  HAS_BURST 0
  MAX_BURST_LENGTH {MAX_BURST}
  NUM_READ_OUTSTANDING {READS_OUTSTANDING}
  NUM_WRITE_OUTSTANDING {WRITES_OUTSTANDING}
}}
# Name, offset, bits, and the memory port that a pointer is for.
set registers {{
{rows}
}}
"""


def link_cfg(kernel: KernelInterface, clock_mhz: int, slr: int | None) -> str:
    """Options of v++ --link. `slr` is the die that holds the whole kernel, None for all of them.

    The platforms' kernel clocks are scalable, and for those v++ has --kernel_frequency; its --clock options are for
    fixed clocks (UG1393 2023.1, "Managing clock frequencies").
    """
    banks = "\n".join(f"sp={kernel.instance}.{m.name}:{m.banks.name}" for m in kernel.memories)
    place = f"slr={kernel.instance}:SLR{slr}\n" if slr is not None else ""
    return f"""\
# {kernel.name} on the {kernel.board.name}: v++ --link --config link.cfg

kernel_frequency={KERNEL_CLOCK}:{clock_mhz}

[connectivity]
nk={kernel.name}:1:{kernel.instance}
{banks}
{place}"""


def clock_xdc(clock_mhz: int) -> str:
    """The clock of the kernel's synthesis on its own, and of the plain Vivado project."""
    return f"# {clock_mhz} MHz\ncreate_clock -name ap_clk -period {1000 / clock_mhz:.3f} [get_ports ap_clk]\n"


def floorplan_tcl(kernel: KernelInterface, plan: Plan, slr: int | None) -> str:
    """Soft assignments of parts to dies, run before placement."""
    if slr is not None:
        return f"# The whole kernel is on SLR{slr}; link.cfg says so.\n"
    lines = ["# Which part goes on which die. Soft: the placer may move what does not fit."]
    for die, instances in plan.items():
        for instance in instances:
            cells = f"[get_cells -quiet -hierarchical -filter {{NAME =~ */{kernel.instance}/*core/{instance}}}]"
            lines.append(f"set_property -quiet USER_SLR_ASSIGNMENT {die} {cells}")
    return "\n".join(lines) + "\n"


def fusesoc_core(kernel: KernelInterface, sources: list[str]) -> str:
    """A core file in FuseSoC's format CAPI2, with Edalize's flow for Vivado."""
    core = {
        "name": f"{VENDOR}:{LIBRARY}:{kernel.name}:{VERSION}",
        "description": f"einloom kernel for the {kernel.board.name}",
        "filesets": {
            "rtl": {"files": [f"rtl/{name}" for name in sources], "file_type": "verilogSource"},
            "constraints": {"files": ["constraints/clock.xdc"], "file_type": "xdc"},
            "settings": {"files": [f"vivado/{OUT_OF_CONTEXT}"], "file_type": "tclSource"},
        },
        "targets": {
            "default": {"filesets": ["rtl"], "toplevel": kernel.name},
            "synth": {
                "filesets": ["rtl", "constraints", "settings"],
                "toplevel": kernel.name,
                "flow": "vivado",
                "flow_options": {"part": kernel.board.part, "synth": "vivado", "pnr": "none"},
            },
        },
    }
    return "CAPI=2:\n" + yaml.safe_dump(core, sort_keys=False)
