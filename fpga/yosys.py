"""Yosys as a Python module (pyosys), run in processes of its own."""

import importlib.metadata
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from einloom.spec.errors import ToolError
from einloom.spec.plain_paths import plain_temporary
from einloom.spec.tool_environment import tool_environment

PROGRAM = """
from pyosys import libyosys
design = libyosys.Design()
for line in open("passes.ys"):
    if line.startswith("if "):
        selection, _, line = line.removeprefix("if ").partition(": ")
        design.run_pass(f"tee -q -o count select -count {selection}")
        if open("count").read().startswith("0 "):
            continue
    design.run_pass(line.strip())
"""


def version() -> str:
    """The version of the installed pyosys; ToolError when there is none."""
    if importlib.util.find_spec("pyosys") is None:
        raise ToolError('Yosys is needed to synthesise and is not installed: pip install "einloom[synth]"')
    return importlib.metadata.version("pyosys")


def shared_text(name: str) -> str:
    """The text of a file of Yosys's own library; ToolError when pyosys is not installed."""
    version()
    return (files("pyosys") / "share" / name).read_text()


def run_passes(passes: Sequence[str], files: Mapping[str, str], output: str) -> tuple[str, str]:
    """Run Yosys in a folder that holds `files`; the text of the file `output` that it left, and its log.

    A pass that begins with `if SELECTION: ` is left out where nothing is selected.

    ToolError with the end of the log when a pass fails. Neither Yosys nor ABC outlives this call.
    """
    with tempfile.TemporaryDirectory(prefix="einloom-synth-", dir=plain_temporary()) as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text)
        (folder / "passes.ys").write_text("\n".join(passes) + "\n")
        log = _run([sys.executable, "-c", PROGRAM], folder)
        if not (folder / output).is_file():
            raise ToolError(f"Yosys left no result:\n{_tail(log)}")
        return (folder / output).read_text(), log


def _run(command: Sequence[str], folder: Path) -> str:
    with (
        open(folder / "log", "w+", errors="replace") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=tool_environment(TMPDIR=str(folder)),  # where ABC's files go, so that they go away too
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        log.seek(0)
        text = log.read()
    if process.returncode:
        raise ToolError(f"Yosys failed with exit code {process.returncode}:\n{_tail(text)}")
    return text


def _tail(log: str) -> str:
    errors = [line for line in log.splitlines() if line.startswith("ERROR")]
    return "\n".join(errors or log.strip().splitlines()[-10:])
