"""generators/verilog_text.py, and other tools' readers on shipped configs, alone and two in a project."""

import re
import shutil
import subprocess
from pathlib import Path

import pyslang
import pytest

from einloom.catalogue import load_config, shipped_configs
from einloom.fpga.yosys import run_passes
from einloom.generators.cached_designs import cached_designs
from einloom.generators.design import Design
from einloom.generators.verilog_text import KEYWORDS, plain_names, with_prefix, without_comments
from einloom.sim.verilator import Toolchain

SMALL = ("bitmod-8x8", "fusemax-16x16", "int-mac-16x16", "default", "lut-ternary")
"""The rest is read in the long suite."""


def test_escaped_names_become_plain_ones() -> None:
    text = (
        "module pe(a, \\final );\n  wire \\$1 ;\n  wire [3:0] \\$procmux$3_Y ;\n  wire n1;\n  wire \\b.c[0] ;\n"
        "  assign \\$1  = 4'hb[\\$procmux$3_Y ] & n1 & \\b.c[0] ;\nendmodule\n"
    )
    plain = plain_names(text)
    assert "  assign n1_2  = 4'hb[procmux_3_Y ] & n1 & b_c_0_ ;\n" in plain
    assert "module pe(a, \\final );" in plain


def test_modules_get_a_prefix_where_they_are_declared_and_placed() -> None:
    text = "module pe(a);\n  add one (\n    .a(a)\n  );\n  other two (.a(a));\n  assign add = (a);\nendmodule\n"
    found = with_prefix(text, {"pe", "add"}, "mine_")
    assert found == text.replace("module pe", "module mine_pe").replace("  add one", "  mine_add one")


def test_comments_are_left_out_but_those_to_verilator() -> None:
    assert (
        without_comments("// a\nwire b; // c\n// verilator lint_off X\n") == "wire b; // c\n// verilator lint_off X\n"
    )


def designs(name: str) -> list[Design]:
    return cached_designs(load_config(name))


@pytest.mark.parametrize("name", SMALL)
def test_every_name_is_plain_and_every_module_has_the_designs_prefix_and_a_header(name: str) -> None:
    for design in designs(name):
        assert set(re.findall(r"\\(\S+)", without_comments(design.verilog))) <= KEYWORDS
        modules = re.findall(r"^(//.*\n)?module (\w+)", design.verilog, re.MULTILINE)
        assert [module for _, module in modules] == list(reversed(design.manifest.modules))
        top = design.manifest.top
        assert all(module == top or module.startswith(f"{top}_") for _, module in modules)
        assert all(header for header, _ in modules), [module for header, module in modules if not header]
        names = set(re.findall(r"^  (?:wire|reg) (?:\[.*?\] )?(\w+)", design.verilog, re.MULTILINE))
        assert not names & KEYWORDS


def icarus(*paths: Path, tops: list[str]) -> None:
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    command = ["iverilog", "-g2012", "-t", "null", *(part for top in tops for part in ("-s", top)), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "error" not in done.stderr


def yosys_accepts(*paths: Path, top: str) -> None:
    pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")
    files = {path.name: path.read_text() for path in paths}
    library = "read_verilog -lib +/xilinx/cells_xtra.v"  # the vendor's primitives
    reads = [f"read_verilog {name}" for name in files]
    passes = [library, *reads, f"hierarchy -check -top {top}", "tee -o read.txt stat"]
    run_passes(passes, files, "read.txt")


def few_copies(verilog: str) -> str:
    """The text with two copies where there are more than 64: Icarus takes more than 18 GB for 65,536 PEs."""
    return re.sub(r"n < (\d+);", lambda m: f"n < {2 if int(m[1]) > 64 else m[1]};", verilog)


def write(design: Design, folder: Path) -> Path:
    path = folder / design.manifest.verilog
    path.write_text(design.verilog)
    return path


@pytest.mark.parametrize(
    "name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in shipped_configs()]
)
def test_icarus_and_yosys_elaborate_a_shipped_config(name: str, tmp_path: Path) -> None:
    for design in designs(name):
        path = write(design, tmp_path)
        yosys_accepts(path, top=design.manifest.top)
        path.write_text(few_copies(design.verilog))
        icarus(path, tops=[design.manifest.top])


def test_two_designs_live_in_one_project(tmp_path: Path) -> None:
    """With a module of the user's that has the name of a part."""
    pair = [designs(name)[0] for name in ("bitmod-8x8", "int-mac-16x16")]
    paths = [write(design, tmp_path) for design in pair]
    own = tmp_path / "own.v"
    own.write_text("module gearbox(input a, output b); assign b = a; endmodule\n")
    tops = [design.manifest.top for design in pair]
    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    names = " ".join(f"--top {top}" for top in tops)
    assert driver.parseCommandLine(f"slang {' '.join(map(str, paths))} {own} {names} -Weverything -Wno-everything")
    assert driver.processOptions()
    assert driver.parseAllSources()
    assert driver.runFullCompilation(False)
    both = tmp_path / "both.v"
    instances = "\n".join(f"  {top} design_{n} ();" for n, top in enumerate([*tops, "gearbox"]))
    both.write_text(f"module both;\n{instances}\nendmodule\n")
    files = [str(path) for path in (*paths, own, both)]
    tools = Toolchain()
    tools.run([tools.command, "--lint-only", "-Wno-fatal", "--top-module", "both", *files], tmp_path)
    yosys_accepts(*map(Path, files), top="both")
    icarus(*paths, own, tops=[*tops, "gearbox"])
