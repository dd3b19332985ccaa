"""Kernel folders: complete, deterministic, and every mistake planted in one is found by the check that is for it."""

import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest

from einloom.fpga.boards import BOARDS
from einloom.fpga.check.folder import check_folder
from einloom.fpga.check.report import Finding
from einloom.fpga.check.tcl import interpreter
from einloom.fpga.kernel import vendor_files
from einloom.fpga.kernel.folder import kernel_folder, write_kernel_folder
from einloom.fpga.kernel.interface import kernel_name
from einloom.generators.design import Design
from einloom.hw.bus.read_master import ReadMaster
from einloom.hw.bus.write_master import WriteMaster
from einloom.hw.core import core
from einloom.sim.verilator import Toolchain
from einloom.spec.config import read_config
from einloom.spec.errors import InputError
from tests.core_bed import BITMOD, Shape, core_config, core_design, random_program

BOARD = BOARDS["u280"]
Change = Callable[[str], str]
needs_tcl = pytest.mark.skipif(interpreter() is None, reason="there is no Tcl interpreter on this machine")


@pytest.fixture(scope="module")
def design() -> Design:
    return core_design(core_config(base=BITMOD))


@pytest.fixture(scope="module")
def files(design: Design) -> dict[str, bytes]:
    return kernel_folder(design, BOARD, clock_mhz=300, slr=None)


TOOLS = ("rtl-verilator", "rtl-slang", "rtl-yosys")
"""Checks that take seconds, and that read nothing but the Verilog."""
SCRIPTS = (*TOOLS, "package-tcl", "project-tcl", "floorplan")
"""These, and checks that run scripts."""


def findings(folder: Path, files: dict[str, bytes], *, without: Collection[str] = TOOLS) -> dict[str, Finding]:
    write_kernel_folder(folder, files)
    return {finding.check: finding for finding in check_folder(folder, Toolchain().lint, without=without)}


def failed(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.failed]


def replaced(files: dict[str, bytes], path: str, old: str, new: str) -> dict[str, bytes]:
    text = files[path].decode()
    assert old in text
    return files | {path: text.replace(old, new, 1).encode()}


@pytest.mark.parametrize(("board", "slr"), [("u280", None), ("u55c", 0)])
def test_a_folder_passes_every_check(design: Design, board: str, slr: int | None, tmp_path: Path) -> None:
    found = findings(tmp_path, kernel_folder(design, BOARDS[board], clock_mhz=300, slr=slr), without=())
    assert not failed(found), found


def test_a_folder_is_the_same_every_time_and_holds_the_config(
    design: Design, files: dict[str, bytes], tmp_path: Path
) -> None:
    assert kernel_folder(design, BOARD, clock_mhz=300, slr=None) == files
    write_kernel_folder(tmp_path, files)
    assert read_config(tmp_path / "config.yaml") == design.manifest.config


def test_every_memory_port_has_a_bank_of_its_own_and_the_clock_and_die_are_as_asked(design: Design) -> None:
    text = kernel_folder(design, BOARD, clock_mhz=250, slr=1)["link.cfg"].decode()
    banks = [line.partition(":")[2] for line in text.splitlines() if line.startswith("sp=")]
    memories = {p.name.rsplit("_", 1)[0] for p in design.manifest.ports if p.name.startswith("m_axi_")}
    assert len(banks) == len(set(banks)) == len(memories)
    assert text.index("kernel_frequency=0:250\n") < text.index("[connectivity]")
    assert ":SLR1" in text


def test_the_interconnect_is_told_of_all_bursts_that_the_masters_have_on_their_way() -> None:
    reads, writes = (
        inspect.signature(master).parameters["max_outstanding"].default for master in (ReadMaster, WriteMaster)
    )
    assert vendor_files.MAX_BURST == core.MAX_BURST
    assert vendor_files.READS_OUTSTANDING >= reads
    assert vendor_files.WRITES_OUTSTANDING >= writes


XML_FAULTS = {
    "offset of another register": ('offset="0x024"', 'offset="0x028"'),
    "narrow data bus": ('name="m_axi_system" mode="master" range="0xFFFFFFFFFFFFFFFF" dataWidth="256"',
                        'name="m_axi_system" mode="master" range="0xFFFFFFFFFFFFFFFF" dataWidth="128"'),
    "pointer that is a scalar": ('name="system_base" addressQualifier="1"', 'name="system_base" addressQualifier="0"'),
    "pointer of another port": ('port="m_axi_weights0"', 'port="m_axi_system"'),
    "size": ('port="m_axi_system" size="0x8"', 'port="m_axi_system" size="0x4"'),
    "scalar wider than the host can set": ('size="0x4" offset="0x010"', 'size="0x8" offset="0x010"'),
    "upper half that is missing": ('name="program_high"', 'name="program_top"'),
    "unknown register": ('name="watchdog"', 'name="watch_dog"'),
    "ids out of order": ('id="2"', 'id="3"'),
    "another protocol": ('hwControlProtocol="ap_ctrl_hs"', 'hwControlProtocol="ap_ctrl_none"'),
    "another config": ('kernel name="einloom_', 'kernel name="einloom_0'),
    "missing port": ('name="m_axi_weights0" mode', 'name="m_axi_weights9" mode'),
    "not XML": ("</kernel>", "</kernal>"),
    "another language": ('language="ip_c"', 'language="c"'),
    "another version of the format": ('versionMinor="6"', 'versionMinor="0"'),
    "type of another size": ('size="0x4" offset="0x024" type="uint"', 'size="0x4" offset="0x024" type="void*"'),
    "size for the host": ('hostSize="0x4"', 'hostSize="0x8"'),
    "stream port": ('portType="addressable"', 'portType="stream"'),
}  # fmt: skip


@pytest.mark.parametrize("fault", XML_FAULTS)
def test_a_wrong_kernel_xml_is_found(files: dict[str, bytes], fault: str, tmp_path: Path) -> None:
    found = findings(tmp_path, replaced(files, "kernel.xml", *XML_FAULTS[fault]), without=SCRIPTS)
    assert failed(found) == ["kernel-xml"]


TCL_FAULTS = {
    "misspelt command": ("ipx::save_core", "ipx::save_cor"),
    "unknown option": ("-norecurse", "-norecurs"),
    "missing bracket": ("[ipx::current_core]", "[ipx::current_core"),
    "unknown property": ("sdx_kernel_type", "sdx_kernal_type"),
    "clock that is no port": ("-clock ap_clk $core", "-clock ap_clock $core"),
    "missing file": ("join $root kernel.xml", "join $root kernal.xml"),
    "undefined variable": ("{port mode} $memories", "{port mode} $memorys"),
    "bus without a clock": ("{port mode} $memories", "{port mode} {}"),
    "port that writes and one that does not": ("READ_WRITE_MODE $mode", "READ_WRITE_MODE READ_ONLY"),
    "another vendor": ("-vendor $vendor", "-vendor xilinx.com"),
    "port without an interface": ("ipx::infer_bus_interface ap_rst_n xilinx.com:signal:reset_rtl:1.0 $core", ""),
    "unknown kind of interface": ("signal:clock_rtl:1.0", "signal:clk_rtl:1.0"),
    "unknown bus parameter": ("$name $interface", "NARROW $interface"),
    "too few arguments": ("set_property name $kernel $core", "set_property name $kernel"),
}


@needs_tcl
@pytest.mark.parametrize("fault", TCL_FAULTS)
def test_a_wrong_packaging_script_is_found(files: dict[str, bytes], fault: str, tmp_path: Path) -> None:
    found = findings(tmp_path, replaced(files, "scripts/package_kernel.tcl", *TCL_FAULTS[fault]))
    assert failed(found) == ["package-tcl"]
    assert "package_kernel.tcl:" in found["package-tcl"].problems[0]


LINK_FAULTS = {
    "bank that the board has not": ("HBM[0]", "HBM[32]"),
    "two ports on one bank": ("HBM[1]", "HBM[0]"),
    "a range that another port is in": ("HBM[2:31]", "HBM[1:31]"),
    "a memory that the board has not": ("HBM[0]", "DDR[2]"),
    "unknown port": ("m_axi_weights0", "m_axi_weight0"),
    "misspelt option": ("nk=", "nx="),
    "clock for platforms with fixed clocks": ("kernel_frequency=0:300", "[clock]\nfreqHz=300000000:einloom_1.ap_clk"),
    "another of the platform's clocks": ("kernel_frequency=0:300", "kernel_frequency=1:300"),
    "another clock than in synthesis": ("kernel_frequency=0:300", "kernel_frequency=0:250"),
    "clock in a section": ("kernel_frequency=0:300\n\n[connectivity]", "[connectivity]\nkernel_frequency=0:300"),
    "a die that the board has not": ("[connectivity]", "[connectivity]\nslr=einloom_1:SLR3"),
}


@pytest.mark.parametrize("fault", LINK_FAULTS)
def test_a_wrong_link_configuration_is_found(files: dict[str, bytes], fault: str, tmp_path: Path) -> None:
    found = findings(tmp_path, replaced(files, "link.cfg", *LINK_FAULTS[fault]), without=SCRIPTS)
    assert failed(found) == ["link"]


@pytest.mark.parametrize(
    ("path", "old", "new", "check"),
    [
        ("constraints/floorplan.tcl", "core/machine/gemm_unit", "core/machine/gem_unit", "floorplan"),
        ("Makefile", "link.cfg constraints/floorplan.tcl", "link.cfg constraints/plan.tcl", "makefile"),
        ("Makefile", "xilinx_u280_gen3x16_xdma_1_202211_1", "xilinx_u280_xdma_201920_3", "makefile"),
        ("Makefile", "EMCONFIG_PATH=$(CURDIR)/$(BUILD)", "", "makefile"),
        ("Makefile", "XCL_EMULATION_MODE=hw_emu", "XCL_EMULATION_MODE=sw_emu", "makefile"),
        ("Makefile", "PLACE_DESIGN.TCL.PRE", "PLACE_DESIGN.TCL.POST", "makefile"),
        ("Makefile", "IMPLEMENT := $(if $(filter hw,", "IMPLEMENT := $(if $(filter hw hw_emu,", "makefile"),
        ("Makefile", "$(MAKE) -C vivado synth", "$(MAKE) -C vivado", "makefile"),
        ("Makefile", "\nXO :=", "\n XO =:", "makefile"),
        ("xrt.ini", "runtime_log", "runtime_lag", "xrt-ini"),
        ("xrt.ini", "[Emulation]", "[Emulate]", "xrt-ini"),
        ("xrt.ini", "batch", "bach", "xrt-ini"),
        ("config.yaml", "name: ", "name: not-", "config"),
    ],
)
def test_another_mistake_is_found(
    files: dict[str, bytes], path: str, old: str, new: str, check: str, tmp_path: Path
) -> None:
    assert failed(findings(tmp_path, replaced(files, path, old, new))) == [check]


def test_what_is_built_runs_on_a_machine_without_vitis(design: Design, files: dict[str, bytes], tmp_path: Path) -> None:
    write_kernel_folder(tmp_path, files)
    name = kernel_name(design.manifest.digest)
    (tmp_path / "build/hw").mkdir(parents=True)
    for built in (f"{name}.xo", f"hw/{name}.xclbin"):
        (tmp_path / "build" / built).touch()

    def commands(target: str) -> str:
        command = ["make", "--dry-run", f"TARGET={target}", "run"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert "einloom run" in commands("hw")
    assert "v++" not in commands("hw")
    assert "v++" in commands("hw_emu")


CORE_FAULTS = {
    "missing file": ("rtl/einloom_tiny.v", "rtl/einloom_tiny.sv"),
    "file of another type": ("file_type: xdc", "file_type: tclSource"),
    "another top": ("toplevel: einloom_", "toplevel: einloom"),
    "another part": ("xcu280", "xcu55c"),
    "no file set": ("    - rtl\n    - constraints", "    - constraints"),
    "not YAML": ("targets:", "targets: {"),
    "no CAPI": ("CAPI=2:", "CAPI=1:"),
}


@pytest.mark.parametrize("fault", CORE_FAULTS)
def test_a_wrong_core_file_is_found(design: Design, files: dict[str, bytes], fault: str, tmp_path: Path) -> None:
    path = f"{kernel_name(design.manifest.digest)}.core"
    assert failed(findings(tmp_path, replaced(files, path, *CORE_FAULTS[fault]), without=SCRIPTS)) == ["fusesoc"]


def test_fusesoc_takes_the_core_file(design: Design, files: dict[str, bytes], tmp_path: Path) -> None:
    pytest.importorskip("fusesoc")
    name = kernel_name(design.manifest.digest)
    write_kernel_folder(tmp_path / "folder", files)
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", "folder", "run", "--target", "synth", "--setup"]
    done = subprocess.run([*command, name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (project,) = (tmp_path / "build").rglob(f"*{name}_1.0.tcl")
    assert BOARD.part in project.read_text()


TOP_FAULTS = {
    "another port": (".m_axi_weights0_araddr(m_axi_weights0_araddr)",
                     ".m_axi_weights0_araddr(m_axi_weights1_araddr)"),
    "reset not inverted": ("~ap_rst_n", "ap_rst_n"),
    "no clock": (".clk(ap_clk)", ".clk(1'b0)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", TOP_FAULTS)
def test_a_wrong_connection_of_the_top_module_is_found(
    design: Design, files: dict[str, bytes], fault: str, tmp_path: Path
) -> None:
    path = f"rtl/{kernel_name(design.manifest.digest)}.v"
    assert failed(findings(tmp_path, replaced(files, path, *TOP_FAULTS[fault]), without=SCRIPTS)) == ["rtl-ports"]


def test_a_wrong_top_module_is_found_by_ports_and_tools(
    design: Design, files: dict[str, bytes], tmp_path: Path
) -> None:
    top = next(p for p in files if p.startswith("rtl/einloom_") and p != f"rtl/{design.manifest.verilog}")
    found = failed(
        findings(tmp_path, replaced(files, top, ".interrupt(interrupt)", ".interupt(interrupt)"), without=())
    )
    assert {"rtl-ports", *TOOLS} >= set(found) >= {"rtl-ports", "rtl-verilator", "rtl-slang"}
    assert failed(findings(tmp_path, replaced(files, top, "output wire interrupt", "output wire irq"))) == [
        "rtl-ports",
        "package-tcl",
    ]


def test_what_is_no_kernel_is_refused(design: Design, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="clock must be"):
        kernel_folder(design, BOARD, clock_mhz=20, slr=None)
    with pytest.raises(InputError, match="has the SLRs 0 to 2, not 3"):
        kernel_folder(design, BOARD, clock_mhz=300, slr=3)
    with pytest.raises(InputError, match="manifest"):
        check_folder(tmp_path, Toolchain().lint)


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"xclbin2\0...{name}...", None),
        (b"xclbin2\0...einloom_0123456789ab...", "it holds einloom_0123456789ab, not einloom_"),
        (b"xclbin2\0...vadd...", "it holds no kernel of einloom"),
        (b"an ELF", "not an xclbin"),
    ],
)
def test_an_xclbin_of_another_config_is_found(
    design: Design, files: dict[str, bytes], contents: bytes, problem: str | None, tmp_path: Path
) -> None:
    folder, xclbin = tmp_path / "folder", tmp_path / "a.xclbin"
    write_kernel_folder(folder, files)
    name = kernel_name(design.manifest.digest)
    xclbin.write_bytes(contents.replace(b"{name}", name.encode()))
    (found,) = [f for f in check_folder(folder, Toolchain().lint, xclbin=xclbin, without=TOOLS) if f.check == "xclbin"]
    assert found.failed is (problem is not None)
    assert problem is None or problem in found.problems[0]


def test_images_are_compared_with_their_banks(design: Design, files: dict[str, bytes], tmp_path: Path) -> None:
    folder, program = tmp_path / "folder", tmp_path / "program"
    write_kernel_folder(folder, files)
    small = random_program(design.manifest, Shape())
    small.write(program)
    assert not failed({f.check: f for f in check_folder(folder, Toolchain().lint, program=program, without=TOOLS)})
    room = BOARD.hbm_bank_bytes
    dataclasses.replace(small, weights=(small.weights[0], np.zeros(room + 1, np.uint8))).write(program)
    found = {f.check: f for f in check_folder(folder, Toolchain().lint, program=program, without=TOOLS)}
    assert failed(found) == ["banks"]
    assert "m_axi_weights1 needs 268,439,552 bytes and its memory HBM[1]" in found["banks"].problems[0]
