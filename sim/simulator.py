"""cocotb's runner of a simulator in a process that can be ended."""

import subprocess
import threading
from collections.abc import Sequence
from os import PathLike
from typing import TextIO

from cocotb_tools.runner import Verilator


class Simulator(Verilator):
    """cocotb's runner, whose simulator never outlives it and can be ended from another thread."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def stop(self) -> None:
        """End the simulator, whatever it is doing, or keep it from starting."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def _execute_cmds(
        self, cmds: Sequence[Sequence[str]], cwd: PathLike[str] | str, stdout: TextIO | None = None
    ) -> None:
        for command in cmds:
            with self._lock:
                if self._stopped:
                    raise RuntimeError("stopped before its start")
                self._process = subprocess.Popen(
                    command, cwd=cwd, env=self.env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT
                )
            try:
                code = self._process.wait()
            except BaseException:
                self.stop()
                self._process.wait()
                raise
            if code:
                raise RuntimeError(f"signal {-code}" if code < 0 else f"exit code {code}")
