"""sim/server.py: simulators that don't start, die or are not wanted any more; shell scripts stand in for them."""

import time
from pathlib import Path

import pytest

from einloom.sim import server
from einloom.sim.engine_benches import GEMM_MODULE
from einloom.sim.server import BenchServer
from einloom.spec.errors import ToolError


def serve(folder: Path, script: str) -> BenchServer:
    """A server whose simulator is `script`."""
    executable = folder / "bench"
    executable.write_text(f"#!/bin/sh\n{script}\n")
    executable.chmod(0o755)
    return BenchServer(executable, GEMM_MODULE)


def test_a_killed_simulator_is_told(tmp_path: Path) -> None:
    opened = serve(tmp_path, "echo last words; kill -9 $$")
    with pytest.raises(ToolError, match=r"^the simulator ended before its tests did \(signal 9\):\nlast words$"):
        opened.start()
    opened.close()
    assert not opened.folder.exists()


def test_a_simulator_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    opened = serve(tmp_path, "")
    (tmp_path / "bench").write_bytes(b"")
    (tmp_path / "bench").chmod(0o644)
    with pytest.raises(ToolError, match=r"bench: the simulator cannot be run: "):
        opened.start()
    opened.close()


def test_a_simulator_that_hangs_ends_with_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_SECONDS", 0.3)
    opened = serve(tmp_path, f"touch {tmp_path}/started; exec sleep 60")
    monkeypatch.setattr(opened, "_why", lambda error: error)  # which gives the simulator seconds to explain itself
    with pytest.raises(ToolError, match=r"^the simulator did not start$"):
        opened.start()
    assert (tmp_path / "started").exists()
    before = time.monotonic()
    opened.close()
    assert time.monotonic() - before < 5
    assert not opened.folder.exists()


def test_a_folder_too_deep_for_a_socket_is_named(tmp_path: Path) -> None:
    opened = serve(tmp_path, "")
    opened.folder = tmp_path / ("a" * 100)
    with pytest.raises(ToolError, match=r"a/socket: cannot be a socket: .*; set TMPDIR to another folder$"):
        opened.start()
    opened.close()
