"""Folders may be called anything, wherever a path goes to make, a linker, Yosys, slang, Tcl, a Makefile or a shell."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import strategies as st

from einloom.fpga.check.folder import NO_PLACE_FOR_MAKE
from einloom.spec.build_cache import cache_root
from einloom.spec.plain_paths import PLAIN, plain
from tests.properties import given, settings

RUN = "from einloom.cli.main import main; main()"
NASTY = 'my $(folder) #1\'s "50%" & {a;b} \u00e9\\x'
SMALL = "name: small\nengine: {kind: int_mac, rows: 1, columns: 1, lanes: 1}\n"
CORE = """name: tiny
engine: {kind: int_mac, rows: 1, columns: 8, lanes: 8}
attention: {kind: fusemax, rows: 4, columns: 1}
core: {lanes: 8}
"""


@settings(max_examples=300)
@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_folder_gets_a_plain_name(name: str) -> None:
    with TemporaryDirectory() as parent:
        if name in (".", "..") or len(name.encode()) > 200:
            return
        folder = Path(parent) / name
        folder.mkdir()
        (folder / "file").write_bytes(name.encode())
        for _ in range(2):
            found = plain(folder)
            assert PLAIN.fullmatch(str(found))
            assert (found / "file").read_bytes() == name.encode()


def test_a_plain_folder_keeps_its_name(tmp_path: Path) -> None:
    assert plain(tmp_path) == tmp_path


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything happens: configs, results, cache and temporary files."""
    folder = tmp_path_factory.mktemp("paths") / NASTY
    for inside in ("cache/verilator", "tmp"):
        (folder / inside).mkdir(parents=True)
    for library in (cache_root() / "verilator").glob("objects-*/"):  # half a minute of a compiler's time
        if not library.suffix:  # one that is being built has another name until it is whole
            shutil.copytree(library, folder / "cache" / "verilator" / library.name)
    (folder / "small.yaml").write_text(SMALL)
    (folder / "tiny.yaml").write_text(CORE)
    return folder


def einloom(folder: Path, *arguments: str, code: int = 0) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments, "--json"],
        cwd=folder,
        env=os.environ | {"EINLOOM_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout[-2000:]
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_a_design_is_generated_and_simulated_there(nasty: Path) -> None:
    einloom(nasty, "generate", str(nasty / "small.yaml"), "-o", str(nasty / "out put"))
    assert einloom(nasty, "simulate", "small.yaml", "--cases", "1")["bit_exact"] is True


@pytest.mark.slow  # builds a library for waves of its own
def test_waves_are_written_there(nasty: Path) -> None:
    told = einloom(nasty, "simulate", "small.yaml", "--cases", "1", "--waves")
    assert Path(str(told["waves"])).stat().st_size > 0


@pytest.mark.slow
def test_a_design_is_synthesised_there(nasty: Path) -> None:
    pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")
    assert einloom(nasty, "synth", "small.yaml")["lut"]


def test_a_kernel_folder_is_written_and_checked_there(nasty: Path) -> None:
    """Tcl, Verilator, slang and Yosys are among the checks. make can build in no such folder, which is told."""
    pytest.importorskip("edalize", reason="Edalize is not installed: pip install einloom[fpga]")
    checks = einloom(nasty, "fpga", "tiny.yaml", "-o", "kernel #1", code=1)["checks"]
    assert isinstance(checks, list)
    problems = {check["check"]: check["problems"] for check in checks if check["problems"]}
    assert problems == {"makefile": [NO_PLACE_FOR_MAKE]}
