"""Checks of the files that build and run a kernel: Makefile, xrt.ini, and the core file for FuseSoC."""

import configparser
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from einloom.fpga.check.report import Finding
from einloom.fpga.kernel.interface import KernelInterface
from einloom.spec.tool_environment import tool_environment

VARIABLES = {"TARGET", "PLATFORM", "JOBS", "DEVICE", "MODEL", "PROMPT", "TOKENS"}
"""Variables that the Makefile takes from the environment. The dry runs drop them."""
XRT_KEYS = {
    "runtime": {"runtime_log", "verbosity"},
    "debug": {"native_xrt_trace", "device_trace"},
    "emulation": {"debug_mode", "user_pre_sim_script", "user_post_sim_script"},
}
"""Sections and keys of xrt.ini that a kernel of ours may use, from XRT's documentation of the file."""
DEBUG_MODES = {"batch", "gui", "off", "gdb"}
CAPI = "CAPI=2:"
FILE_TYPES = {".v": "verilogSource", ".xdc": "xdc", ".tcl": "tclSource"}


@dataclass(frozen=True)
class DryRun:
    """A dry run of make: its arguments, the words that its commands must have, and those that they must not have."""

    arguments: tuple[str, ...]
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...] = ()


def makefile_problems(folder: Path, kernel: KernelInterface) -> list[str] | Finding:
    """Problems that dry runs of make show: prerequisites with no file and no rule, and wrong commands."""
    if shutil.which("make") is None:
        return Finding("makefile", skipped="there is no make")
    return [problem for run in _dry_runs(folder, kernel) for problem in _problems(folder, run)]


def _dry_runs(folder: Path, kernel: KernelInterface) -> Iterator[DryRun]:
    platform = f"--platform {kernel.board.platform} "
    hook = f"run.impl_1.STEPS.PLACE_DESIGN.TCL.PRE={folder}/constraints/floorplan.tcl"
    ini = f"XRT_INI_PATH={folder}/xrt.ini"
    card = f"--board {kernel.board.name}"
    link = f"--config {folder}/link.cfg"
    yield DryRun(("all",), ("package_kernel.tcl", f"{kernel.name}.xo", "--target hw ", platform, link, hook))
    yield DryRun(
        ("run",),
        (ini, "env -u XCL_EMULATION_MODE", f"--xclbin build/hw/{kernel.name}.xclbin", card),
        ("emconfigutil", "XCL_EMULATION_MODE="),
    )
    emulation = (
        *(f"emconfigutil {platform}", "--target hw_emu ", "XCL_EMULATION_MODE=hw_emu", ini, link, card),
        f"EMCONFIG_PATH={folder}/build/hw_emu",
        f"--xclbin build/hw_emu/{kernel.name}.xclbin",
    )
    yield DryRun(("TARGET=hw_emu", "run"), emulation, ("impl_1",))
    yield DryRun(("vivado",), (f"{kernel.name}_synth.tcl",), ("_run.tcl", ".bit"))


def _problems(folder: Path, run: DryRun) -> Iterator[str]:
    command = f"make {' '.join(run.arguments)}"
    done = subprocess.run(
        ["make", "--dry-run", *run.arguments],
        cwd=folder,
        env={name: value for name, value in tool_environment().items() if name not in VARIABLES},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        yield f"{command}: {done.stderr.strip()}"
        return
    commands = " ".join(done.stdout.replace("\\\n", " ").split()) + " "
    for words in run.wanted:
        if words not in commands:
            yield f"{command}: its commands do not have {words.strip()!r}"
    for words in run.unwanted:
        if words in commands:
            yield f"{command}: its commands have {words!r}"


def xrt_ini_problems(text: str) -> list[str]:
    """Sections and keys of xrt.ini that XRT does not know."""
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        return [f"not an INI file: {error.message.splitlines()[0]}"]
    problems = []
    for section in parser.sections():
        known = XRT_KEYS.get(section.lower())
        if known is None:
            problems.append(f"unknown section [{section}]")
            continue
        problems += [f"[{section}] has no key {key!r}" for key in parser[section] if key not in known]
        mode = parser[section].get("debug_mode", "batch")
        if mode not in DEBUG_MODES:
            problems.append(f"debug_mode is {mode!r}, not one of {', '.join(sorted(DEBUG_MODES))}")
    return problems


def fusesoc_problems(folder: Path, kernel: KernelInterface) -> list[str]:
    """Differences between the core file and the kernel: name, files and their types, top module, part."""
    path = folder / f"{kernel.name}.core"
    text = path.read_text()
    if not text.startswith(f"{CAPI}\n"):
        return [f"{path.name} does not begin with {CAPI}"]
    try:
        core = yaml.safe_load(text.removeprefix(CAPI))
        return list(_core_problems(folder, kernel, core))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        return [f"{path.name} is not a core file: {type(error).__name__} {error}"]


def _core_problems(folder: Path, kernel: KernelInterface, core: dict[str, Any]) -> Iterator[str]:
    if core["name"].split(":")[2:3] != [kernel.name]:
        yield f"the core is called {core['name']!r}; the kernel is {kernel.name}"
    for fileset in core["filesets"].values():
        for file in fileset["files"]:
            if not (folder / file).is_file():
                yield f"there is no file {file}"
            if fileset["file_type"] != FILE_TYPES.get(Path(file).suffix):
                yield f"{file} is said to be {fileset['file_type']}"
    listed = {file for name in core["targets"]["synth"]["filesets"] for file in core["filesets"][name]["files"]}
    for source in sorted((folder / "rtl").glob("*.v")):
        if f"rtl/{source.name}" not in listed:
            yield f"target synth leaves rtl/{source.name} out"
    for name, target in core["targets"].items():
        if target["toplevel"] != kernel.name:
            yield f"target {name}: toplevel is {target['toplevel']!r}, not {kernel.name}"
    part = core["targets"]["synth"]["flow_options"]["part"]
    if part != kernel.board.part:
        yield f"target synth: the part is {part!r}; the {kernel.board.name} has {kernel.board.part}"
