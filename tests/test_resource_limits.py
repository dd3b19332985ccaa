"""Limits of a machine end in a sentence: nothing is left half-written, and nobody reads a traceback."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RUN = "from einloom.cli.main import main; main()"
SMALL = "name: small\nengine: {kind: int_mac, rows: 1, columns: 1, lanes: 1}\n"
LIMITS = {
    "open files": (resource.RLIMIT_NOFILE, 8),
    "size of files": (resource.RLIMIT_FSIZE, 10 << 10),
    "memory": (resource.RLIMIT_AS, 400 << 20),
}


def limited(limit: int, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(limit, (value, value))


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_ends_a_command_with_a_sentence(limit: str, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    done = subprocess.run(
        [sys.executable, "-c", RUN, "simulate", "small.yaml"],
        cwd=tmp_path,
        env=os.environ | {"EINLOOM_CACHE": str(tmp_path / "cache"), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=limited(*LIMITS[limit]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert [line.startswith("error: ") for line in done.stderr.splitlines()] == [True], done.stderr
