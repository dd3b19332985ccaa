"""Runs a Tcl script: Python's own interpreter when it was built with one, or tclsh."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from einloom.spec.tool_environment import tool_environment

MODULE = "einloom.fpga.check.tcl"


def interpreter() -> list[str] | None:
    """The command before a script's path; None when there is no Tcl on this machine."""
    try:
        import _tkinter  # noqa: F401

        return [sys.executable, "-m", MODULE]
    except ImportError:
        tclsh = shutil.which("tclsh")
        return [tclsh] if tclsh else None


def run_tcl(command: Sequence[str], script: Path, arguments: Sequence[str], folder: Path) -> str | None:
    """Run the script in `folder`; return what is wrong with it, None when it came to its end."""
    done = subprocess.run(
        [*command, str(script), *arguments],
        cwd=folder,
        env=tool_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip()


def main() -> None:
    """Be a tclsh: script and arguments from the command line."""
    import tkinter

    def leave(status: str = "0") -> None:
        raise SystemExit(int(status))

    tcl = tkinter.Tcl()
    tcl.createcommand("exit", leave)
    tcl.setvar("argv0", sys.argv[1])
    tcl.call("set", "argv", tcl.call("list", *sys.argv[2:]))
    tcl.setvar("argc", str(len(sys.argv) - 2))
    try:
        tcl.call("source", sys.argv[1])
    except tkinter.TclError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
