"""The generated RTL as a device: its Verilog in Verilator, checked against golden on every result."""

import secrets
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection, Listener
from pathlib import Path

import numpy as np
import numpy.typing as npt

from einloom.config import Config
from einloom.errors import CheckFailed, ToolError
from einloom.quantized import QuantizedTensor
from generators.registry import generate
from sim.bench.batch import Job, Outcome, Stalls, WeightFiles, collect, prepare
from sim.bench.build import build
from sim.bench.compare import require_equal
from sim.device import Counters
from sim.golden.engines import golden_sums
from sim.simulate import run_cocotb

START_SECONDS = 60.0  # for the simulator to start Python and connect


class RtlDevice:
    """A simulation of a config's design that waits for matrix products.

    cocotb runs in a process of its own and serves batches over a socket; files carry weights, activations and sums.
    Built once per design (cached), started by `load`.

    Attributes
    ----------
    counters : cycles and beats so far, from the RTL.
    peak_macs_per_cycle : of the array with the slowest of the loaded formats.
    """

    def __init__(self, config: Config, *, waves: bool = False) -> None:
        self.design = generate(config)
        self.counters = Counters()
        self.peak_macs_per_cycle = 0.0
        self._waves = waves
        self._executable = build(self.design, waves=waves)
        self._temporary = tempfile.TemporaryDirectory(prefix="einloom-")
        self._folder = Path(self._temporary.name)
        self._tensors: dict[str, tuple[QuantizedTensor, tuple[int, int]]] = {}
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def load(self, tensors: Mapping[str, QuantizedTensor]) -> None:
        """Pack `tensors` into the design's weight memory and start the simulation; InputError for unfit ones."""
        files = WeightFiles(self._folder, self.design.manifest)
        self._tensors = {name: (tensor, files.append(tensor)) for name, tensor in tensors.items()}
        gemm = self.design.manifest.gemm
        cycles = max(gemm.weights.step(tensor.format).cycles for tensor in tensors.values())
        self.peak_macs_per_cycle = gemm.macs_per_step / cycles
        self._start()

    def linear(self, name: str, activations: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        """Sums [T, N], computed by the RTL and compared with golden; CheckFailed at the first difference."""
        tensor, where = self._tensors[name]
        gemm = self.design.manifest.gemm
        chunks = [activations[n : n + gemm.rows] for n in range(0, len(activations), gemm.rows)]
        return np.concatenate([self._run(Job(name, tensor, chunk), where) for chunk in chunks])

    def _run(self, job: Job, where: tuple[int, int]) -> npt.NDArray[np.int64]:
        assert self._connection is not None, "load comes first"
        manifest = self.design.manifest
        ports = prepare(self._folder, manifest, [job], [where], Stalls())
        try:
            self._connection.send(ports)
            cycles, accepted = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._why(error) from error
        (sums,) = collect(self._folder, manifest, [job], ports, Outcome(cycles, accepted))
        self.counters += Counters(jobs=1, cycles=cycles, beats=accepted, macs=job.macs)
        expected = golden_sums(manifest.gemm, job.tensor, job.activations)
        rerun = f"rerun with: einloom simulate {manifest.name} --waves"
        what = f"{job.name}, after {self.counters.jobs} jobs"
        require_equal(expected, (sums.value, sums.exponent), what=what, cycle=self.counters.cycles, rerun=rerun)
        return sums.value

    def _start(self) -> None:
        address, key = str(self._folder / "socket"), secrets.token_hex(16)
        listener = Listener(address, family="AF_UNIX", authkey=key.encode())
        settings: dict[str, object] = {"address": address, "key": key}

        def simulate() -> None:
            try:
                run_cocotb(self._executable, self._folder, settings, ("serve",), seed=1, waves=self._waves)
            except BaseException as error:
                self._failure = error

        self._thread = threading.Thread(target=simulate, daemon=True)
        self._thread.start()
        accepted: list[Connection] = []
        waiter = threading.Thread(target=lambda: accepted.append(listener.accept()), daemon=True)
        waiter.start()
        for _ in range(int(START_SECONDS * 10)):
            waiter.join(0.1)
            if accepted or not self._thread.is_alive():
                break
        if not accepted:
            raise self._why(ToolError("the simulator did not start"))
        self._connection = accepted[0]
        listener.close()

    def _why(self, error: Exception) -> Exception:
        """The simulation's own reason for stopping, if it has one."""
        if self._thread is not None:
            self._thread.join(5)
        return self._failure if isinstance(self._failure, (CheckFailed, ToolError)) else ToolError(str(error))

    def close(self) -> None:
        """End the simulation and remove its files."""
        if self._connection is not None:
            try:
                self._connection.send(None)
            except OSError:
                pass  # it ended before us
            self._connection.close()
            self._connection = None
        if self._thread is not None:
            self._thread.join()
        self._temporary.cleanup()
