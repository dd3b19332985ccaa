"""The folder from which `make` builds an xclbin."""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import yaml

from einloom.fpga.boards import TOOLS, Board
from einloom.fpga.floorplan import floorplan
from einloom.fpga.kernel.interface import kernel_interface
from einloom.fpga.kernel.kernel_xml import kernel_xml
from einloom.fpga.kernel.vendor_files import clock_xdc, design_tcl, floorplan_tcl, fusesoc_core, link_cfg
from einloom.fpga.kernel.vivado_project import vivado_project
from einloom.fpga.kernel.wrapper import wrapper
from einloom.generators.design import MANIFEST, Design
from einloom.spec.errors import InputError
from einloom.spec.files import write_folder

CONFIG = "config.yaml"
KERNEL_XML = "kernel.xml"
LINK = "link.cfg"
DESIGN_TCL = "scripts/design.tcl"
PACKAGE_TCL = "scripts/package_kernel.tcl"
FLOORPLAN = "constraints/floorplan.tcl"
CLOCK = "constraints/clock.xdc"
XRT_INI = "xrt.ini"
CLOCK_MHZ = range(50, 501)
TEMPLATES = {"Makefile": "Makefile", "README.md": "README.md", "xrt.ini": XRT_INI, "package_kernel.tcl": PACKAGE_TCL}
"""Texts of fpga/kernel/templates, and where they go."""


def kernel_folder(design: Design, board: Board, *, clock_mhz: int, slr: int | None) -> dict[str, bytes]:
    """The folder's files by path. `slr` is the die that holds the whole kernel, None for all of them.

    InputError when the design is no core, or the board can't be what is asked.
    """
    if clock_mhz not in CLOCK_MHZ:
        raise InputError(f"the clock must be {CLOCK_MHZ[0]} to {CLOCK_MHZ[-1]} MHz, not {clock_mhz}")
    if slr is not None and not 0 <= slr < board.slrs:
        raise InputError(f"the {board.name} has the SLRs 0 to {board.slrs - 1}, not {slr}")
    manifest = design.manifest
    kernel = kernel_interface(manifest, board)
    sources = [manifest.verilog, f"{kernel.name}.v"]
    values = {
        "kernel": kernel.name,
        "board": board.name,
        "platform": board.platform,
        "tools": TOOLS,
        "config": manifest.config.name,
    }
    texts = {
        CONFIG: yaml.safe_dump(manifest.config.model_dump(mode="json"), sort_keys=False),
        MANIFEST: manifest.to_json(),
        f"rtl/{manifest.verilog}": design.verilog,
        f"rtl/{kernel.name}.v": wrapper(manifest, kernel),
        KERNEL_XML: kernel_xml(kernel),
        DESIGN_TCL: design_tcl(kernel, sources),
        LINK: link_cfg(kernel, clock_mhz, slr),
        CLOCK: clock_xdc(clock_mhz),
        FLOORPLAN: floorplan_tcl(kernel, floorplan(manifest.core, manifest.config.floorplan), slr),
        f"{kernel.name}.core": fusesoc_core(kernel, sources),
    }
    templates = resources.files("einloom.fpga.kernel") / "templates"
    texts |= {path: _filled((templates / name).read_text(), values) for name, path in TEMPLATES.items()}
    texts |= {f"vivado/{name}": text for name, text in vivado_project(kernel, sources).items()}
    return {path: text.encode() for path, text in texts.items()}


def write_kernel_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files; InputError when that fails, with nothing half-written."""
    write_folder(folder, files)


def _filled(text: str, values: Mapping[str, str]) -> str:
    """The text with the placeholders @name@ replaced; `$` is make's and Tcl's."""
    return re.sub(r"@([a-z]+)@", lambda match: values[match[1]], text)
