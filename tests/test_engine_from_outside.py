"""The tutorial's package: an engine from outside, installed beside einloom, does what a built-in one does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "examples" / "engine-package"
CONFIG = PACKAGE / "addsub.yaml"
TUTORIAL = ROOT / "docs" / "tutorial-engine.md"
RUN = "from einloom.cli.main import main; main()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed the package, as a user would, but without a network."""
    folder = tmp_path_factory.mktemp("installed")
    offline = ["--no-index", "--no-build-isolation", "--no-deps", "--quiet", "--target", str(folder)]
    copy = tmp_path_factory.mktemp("source") / "package"
    subprocess.run([sys.executable, "-c", COPY, str(PACKAGE), str(copy)], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, str(copy)], check=True, env=QUIET)
    return folder


COPY = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"
QUIET = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PYTHONWARNINGS": ""}


def einloom(installed: Path, *arguments: object) -> dict[str, object]:
    """What a command prints with --json, with the package installed; run from the package's own folder."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments), "--json"],
        cwd=installed,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_simulate(installed: Path) -> None:
    told = einloom(installed, "simulate", CONFIG, "--cases", 10)
    assert told["engine"] == "addsub"
    assert told["bit_exact"] is True


def test_run_on_the_golden_executor(installed: Path) -> None:
    told = einloom(installed, "run", "shakespeare-1m-w2", "-c", CONFIG, "--backend", "golden", "-n", 4)
    assert told["bits_per_weight"] == 2


@pytest.mark.slow
def test_run_on_rtl(installed: Path) -> None:
    """Every operation of a model, its products on the new engine: minutes, as of any core."""
    told = einloom(installed, "run", "shakespeare-1m-w2", "-c", CONFIG, "-n", 2)
    assert told["bit_exact"] is True


@pytest.mark.slow
def test_synth_of_the_engine(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")
    alone = tmp_path / "alone.yaml"
    alone.write_text("name: alone\nengine: {kind: addsub, rows: 2, columns: 2, lanes: 4}\n")
    told = einloom(installed, "synth", alone)
    assert told["dsp"] == 0
    assert "add_sub_pe" in {part["name"] for part in told["parts"]}


def test_a_package_that_cannot_be_loaded_is_named(installed: Path) -> None:
    broken = installed / "einloom_addsub" / "section.py"
    text = broken.read_text()
    try:
        broken.write_text("raise ImportError('too old')\n")
        done = subprocess.run(
            [sys.executable, "-c", RUN, "generate", "default", "-o", "nowhere"],
            env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        broken.write_text(text)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(r"error: engine addsub.*can't be loaded: too old", done.stderr)


@pytest.mark.parametrize("file", sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py")), ids=str)
def test_the_tutorial_shows_the_package_as_it_is(file: Path) -> None:
    assert (PACKAGE / file).read_text().strip() in TUTORIAL.read_text()
