"""All checks of a kernel folder."""

import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from importlib import resources
from pathlib import Path

from einloom.fpga.boards import BOARDS, Board
from einloom.fpga.check.build import fusesoc_problems, makefile_problems, xrt_ini_problems
from einloom.fpga.check.images import bank_problems, xclbin_problems
from einloom.fpga.check.kernel_xml import kernel_xml_problems
from einloom.fpga.check.link import link_problems
from einloom.fpga.check.report import Finding
from einloom.fpga.check.rtl import floorplan_problems, port_problems, slang_problems, yosys_problems
from einloom.fpga.check.tcl import interpreter, run_tcl
from einloom.fpga.kernel.folder import CLOCK, CONFIG, DESIGN_TCL, FLOORPLAN, KERNEL_XML, LINK, PACKAGE_TCL, XRT_INI
from einloom.fpga.kernel.interface import KernelInterface, kernel_interface
from einloom.generators.design import MANIFEST
from einloom.spec.config import read_config
from einloom.spec.errors import EinloomError, InputError
from einloom.spec.manifest import Manifest, load_manifest
from einloom.spec.plain_paths import is_plain, plain, plain_temporary

STUB = "vivado_stub.tcl"
NO_TCL = "there is no Tcl interpreter: install tclsh, or a Python with tkinter"


Lint = Callable[[Sequence[Path], str], list[str]]


NO_PLACE_FOR_MAKE = (
    "make builds in no folder of this name: move it to one whose path has letters, digits and the characters ._+- alone"
)


def check_folder(
    folder: Path,
    verilator_problems: Lint,
    *,
    program: Path | None = None,
    xclbin: Path | None = None,
    without: Collection[str] = (),
) -> list[Finding]:
    """Every check of the folder, in the order of a build; InputError when it is no kernel folder.

    Parameters
    ----------
    verilator_problems : function that gives Verilator's complaints about sources with a top module.
    program : folder of a compiled model, whose images are checked against the banks.
    xclbin : file that was built, or is to be loaded.
    without : names of checks to leave out.
    """
    folder = plain(folder.resolve())  # tools take other names apart
    manifest = load_manifest(folder / MANIFEST)
    board = _board(folder)
    kernel = kernel_interface(manifest, board)
    sources = sorted((folder / "rtl").glob("*.v"))
    checks: dict[str, Callable[[], list[str] | Finding]] = {
        "config": lambda: _config(folder, manifest),
        "rtl-ports": lambda: port_problems(folder / "rtl", manifest, kernel),
        "rtl-verilator": lambda: verilator_problems(sources, kernel.name),
        "rtl-slang": lambda: slang_problems(sources, kernel.name),
        "rtl-yosys": lambda: yosys_problems(sources, kernel.name),
        "kernel-xml": lambda: kernel_xml_problems(_read(folder / KERNEL_XML), manifest),
        "package-tcl": lambda: _tcl(folder, kernel, PACKAGE_TCL, "package.xo"),
        "project-tcl": lambda: _tcl(folder, kernel, f"vivado/{kernel.name}.tcl"),
        "floorplan": lambda: _floorplan(folder, manifest, kernel),
        "link": lambda: link_problems(_read(folder / LINK), _read(folder / CLOCK), kernel),
        "makefile": lambda: makefile_problems(folder, kernel) if is_plain(folder) else [NO_PLACE_FOR_MAKE],
        "xrt-ini": lambda: xrt_ini_problems(_read(folder / XRT_INI)),
        "fusesoc": lambda: fusesoc_problems(folder, kernel),
    }
    if xclbin is not None:
        checks["xclbin"] = lambda: xclbin_problems(xclbin, kernel)
    if program is not None:
        checks["banks"] = lambda: bank_problems(program, manifest, kernel)
    return [_finding(name, check) for name, check in checks.items() if name not in without]


def _finding(name: str, check: Callable[[], list[str] | Finding]) -> Finding:
    try:
        result = check()
    except (EinloomError, OSError) as error:
        return Finding(name, (str(error),))
    return result if isinstance(result, Finding) else Finding(name, tuple(result))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _board(folder: Path) -> Board:
    """The board that the folder is for, by the part in scripts/design.tcl."""
    words = _read(folder / DESIGN_TCL).split()
    for board in BOARDS.values():
        if board.part in words:
            return board
    raise InputError(f"{folder / DESIGN_TCL}: the part is none of {', '.join(b.part for b in BOARDS.values())}")


def _config(folder: Path, manifest: Manifest) -> list[str]:
    digest = read_config(folder / CONFIG).digest
    return [] if digest == manifest.digest else [f"{CONFIG} is not the config that {MANIFEST} and the RTL are of"]


def _tcl(folder: Path, kernel: KernelInterface, script: str, *arguments: str) -> list[str] | Finding:
    """The script run against Vivado's commands as stubs, on a copy of the folder."""
    command = interpreter()
    name = "package-tcl" if script == PACKAGE_TCL else "project-tcl"
    if command is None:
        return Finding(name, skipped=NO_TCL)
    with tempfile.TemporaryDirectory(dir=plain_temporary()) as scratch:
        copy = Path(scratch) / "folder"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("build", ".*"))
        stub = Path(scratch) / STUB
        stub.write_text((resources.files("einloom.fpga.check") / STUB).read_text())
        place = copy / script
        # As the Makefiles do: one starts beside the scripts' folder, the other in the project's.
        start = copy / "vivado" if script.startswith("vivado/") else copy
        problem = run_tcl(command, stub, [str(copy / "rtl" / f"{kernel.name}.v"), str(place), *arguments], start)
        made = all((start / name).is_file() for name in arguments)
    if problem is not None:
        return [problem]
    return [] if made else [f"{script} came to its end, but wrote no {', '.join(arguments)}"]


def _floorplan(folder: Path, manifest: Manifest, kernel: KernelInterface) -> list[str] | Finding:
    command = interpreter()
    problems = floorplan_problems(_read(folder / FLOORPLAN), _read(folder / "rtl" / manifest.verilog), manifest)
    if command is None:
        return problems
    top = folder / "rtl" / f"{kernel.name}.v"
    with tempfile.TemporaryDirectory(dir=plain_temporary()) as scratch:
        stub = Path(scratch) / STUB
        stub.write_text((resources.files("einloom.fpga.check") / STUB).read_text())
        for script in (FLOORPLAN, CLOCK):
            problem = run_tcl(command, stub, [str(top.resolve()), str((folder / script).resolve())], Path(scratch))
            problems += [problem] if problem else []
    return problems
