"""A simulation that waits for batches: cocotb in a process of its own, behind a socket."""

import secrets
import shutil
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from pathlib import Path

from einloom.sim.engine_benches import run_cocotb
from einloom.sim.simulator_process import Simulator
from einloom.spec.errors import CheckFailed, ToolError

START_SECONDS = 60.0  # for the simulator to start Python and connect
END_SECONDS = 10.0  # for it to write its results, and waves


class BenchServer:
    """The bench `executable`, running the test `serve` of the cocotb module `module`.

    Files carry what goes in and comes out; they lie in `folder`, which is the working folder of the simulation and
    is removed at the end. Files that are named in `kept` are moved to their places before.
    """

    def __init__(self, executable: Path, module: str, *, kept: Mapping[str, Path] | None = None) -> None:
        self._executable = executable
        self._module = module
        self._kept = dict(kept or {})
        self._temporary = tempfile.TemporaryDirectory(prefix="einloom-")
        self.folder = Path(self._temporary.name)
        self._connection: Connection | None = None
        self._simulator = Simulator()
        self._thread: threading.Thread | None = None
        self._busy = False  # starting, or with a batch
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Start the simulator; ToolError when it does not come up."""
        address, key = str(self.folder / "socket"), secrets.token_hex(16)
        try:
            listener = Listener(address, family="AF_UNIX", authkey=key.encode())
        except OSError as error:
            raise ToolError(f"{address}: cannot be a socket: {error}; set TMPDIR to another folder") from error
        settings: dict[str, object] = {"address": address, "key": key}

        def simulate() -> None:
            try:
                run_cocotb(
                    self._executable,
                    self.folder,
                    settings,
                    ("serve",),
                    seed=1,
                    module=self._module,
                    runner=self._simulator,
                )
            except BaseException as error:
                self._failure = error

        accepted: list[Connection] = []

        def wait() -> None:
            try:
                accepted.append(listener.accept())
            except (OSError, EOFError, AuthenticationError):
                pass  # the simulator ended while it connected

        self._busy = True
        with listener:
            self._thread = threading.Thread(target=simulate, daemon=True)
            self._thread.start()
            waiter = threading.Thread(target=wait, daemon=True)
            waiter.start()
            for _ in range(int(START_SECONDS * 10)):
                waiter.join(0.1)
                if not waiter.is_alive() or not self._thread.is_alive():
                    break
        if not accepted:
            raise self._why(ToolError("the simulator did not start"))
        self._connection = accepted[0]
        self._busy = False

    def run(self, ports: dict[str, int]) -> tuple[int, ...]:
        """Run the batch whose files are in `folder`; returns the bench's counters."""
        if self._connection is None:
            self.start()
        assert self._connection is not None
        try:
            self._busy = True
            self._connection.send(ports)
            counters: tuple[int, ...] = self._connection.recv()
            self._busy = False
        except (EOFError, OSError) as error:
            raise self._why(error) from error
        return counters

    def _why(self, error: Exception) -> Exception:
        """The simulation's own reason for stopping, if it has one."""
        if self._thread is not None:
            self._thread.join(5)
        return self._failure if isinstance(self._failure, (CheckFailed, ToolError)) else ToolError(str(error))

    def close(self) -> None:
        """End the simulation, at once if it is at work, and remove its files."""
        if self._busy:
            self._simulator.stop()
        if self._connection is not None:
            try:
                self._connection.send(None)
            except OSError:
                pass  # it ended before us
            self._connection.close()
            self._connection = None
        if self._thread is not None:
            self._thread.join(END_SECONDS)
            self._simulator.stop()
            self._thread.join()
        for name, place in self._kept.items():
            if (self.folder / name).exists():
                shutil.move(self.folder / name, place)
        self._temporary.cleanup()
