"""A built simulator in a process that can be ended, with cocotb inside."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import cocotb_tools.config
import find_libpython

from einloom.spec.errors import ToolError
from einloom.spec.tool_environment import tool_environment


class Simulator:
    """The process of one simulator; it never outlives a call of `run`, and can be ended from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def stop(self) -> None:
        """End the simulator, whatever it is doing, or keep it from starting."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def run(
        self,
        executable: Path,
        folder: Path,
        *,
        module: str,
        tests: Sequence[str],
        seed: int,
        results: Path,
        log: Path,
        settings: str,
        waves: Path | None,
    ) -> None:
        """Run cocotb's `tests` of the Python `module` in `folder`; RuntimeError unless the simulator ends well.

        Parameters
        ----------
        results, log : files for cocotb's results and for what the simulator prints.
        waves : file for the waves of all that happens.
        settings : value of EINLOOM_BENCH.
        """
        command = [str(executable), *(["--trace", "--trace-file", str(waves)] if waves else [])]
        command += ["+verilator+rand+reset+2", f"+verilator+seed+{seed % (1 << 31) + 1}"]
        environment = cocotb_environment(executable.name, module, tests, seed) | {
            "COCOTB_RESULTS_FILE": str(results),
            "EINLOOM_BENCH": settings,
        }
        with log.open("wb") as output:
            with self._lock:
                if self._stopped:
                    raise RuntimeError("stopped before its start")
                self._process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            try:
                code = self._process.wait()
            except BaseException:
                self.stop()
                self._process.wait()
                raise
        if code:
            raise RuntimeError(f"signal {-code}" if code < 0 else f"exit code {code}")


def cocotb_environment(top: str, module: str, tests: Sequence[str], seed: int) -> dict[str, str]:
    """Variables by which cocotb finds its Python, this program's modules, and `tests` of `module`."""
    libpython = find_libpython.find_libpython()
    if libpython is None:
        raise ToolError("Python's shared library is needed to simulate: install the package libpython3-dev")
    names = "|".join(f".*{re.escape(name)}" for name in tests)
    path = os.environ.get("PATH", os.defpath)
    return tool_environment(
        PATH=os.pathsep.join([path, str(cocotb_tools.config.libs_dir)]),
        PYTHONPATH=os.pathsep.join(sys.path),
        PYGPI_PYTHON_BIN=sys.executable,
        GPI_USERS=f"{libpython};{cocotb_tools.config.pygpi_entry_point()}",
        TOPLEVEL_LANG="verilog",
        COCOTB_TOPLEVEL=top,
        COCOTB_TEST_MODULES=module,
        COCOTB_TEST_FILTER=rf"\.({names})$",
        COCOTB_RANDOM_SEED=str(seed),
        COCOTB_TRUST_INERTIAL_WRITES="1",
        COCOTB_ANSI_OUTPUT="0",
    )
