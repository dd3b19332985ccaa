"""Nothing that another package, or a folder of the user's, is called can hurt."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

ROOMS = ("hw", "sim", "mapping", "generators", "fpga", "examples", "spec", "models")
RUN = "from einloom.cli.main import main; main()"


def test_one_name_is_installed() -> None:
    installed = importlib.metadata.distribution("einloom").read_text("top_level.txt")
    assert installed is not None
    assert installed.split() == ["einloom"]


def test_packages_of_the_rooms_names_are_not_ours(tmp_path: Path) -> None:
    """They stand in the folder where a model is run, and come first on the path; each would end the run."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise SystemExit('imported')\n")
    command = ["run", "--backend", "golden", "-n", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"] == 2
