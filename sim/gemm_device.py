"""The generated RTL as a device: its Verilog in Verilator, checked against golden on every result."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from einloom.generators.registry import generate
from einloom.sim.bench.batch import Job, Outcome, Stalls, WeightFiles, collect, prepare
from einloom.sim.bench.build import build
from einloom.sim.bench.compare import require_equal
from einloom.sim.device import Counters
from einloom.sim.engine_benches import GEMM_MODULE
from einloom.sim.golden.engines import golden_sums
from einloom.sim.server import BenchServer
from einloom.spec.config import Config
from einloom.spec.quantized import QuantizedTensor


class RtlDevice:
    """A simulation of a config's design that waits for matrix products.

    cocotb runs in a process of its own and serves batches over a socket; files carry weights, activations and sums.
    Built once per design (cached), started by `load`.

    Attributes
    ----------
    counters : cycles and beats so far, from the RTL.
    peak_macs_per_cycle : peak of the array with the slowest of the loaded formats.
    """

    def __init__(self, config: Config) -> None:
        self.design = generate(config)
        self._gemm = self.design.manifest.gemm
        self.counters = Counters()
        self.peak_macs_per_cycle = 0.0
        self._server = BenchServer(build(self.design), GEMM_MODULE)
        self._tensors: dict[str, tuple[QuantizedTensor, tuple[int, int]]] = {}

    def load(self, tensors: Mapping[str, QuantizedTensor]) -> None:
        """Pack `tensors` into the design's weight memory and start the simulation; InputError for unfit ones."""
        files = WeightFiles(self._server.folder, self.design.manifest)
        self._tensors = {name: (tensor, files.append(tensor)) for name, tensor in tensors.items()}
        gemm = self._gemm
        cycles = max(gemm.weights.step(tensor.format).cycles for tensor in tensors.values())
        self.peak_macs_per_cycle = gemm.macs_per_step / cycles
        self._server.start()

    def linear(self, name: str, activations: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        """Sums [T, N], computed by the RTL and compared with golden; CheckFailed at the first difference."""
        tensor, where = self._tensors[name]
        rows = self._gemm.rows
        chunks = [activations[n : n + rows] for n in range(0, len(activations), rows)]
        return np.concatenate([self._run(Job(name, tensor, chunk), where) for chunk in chunks])

    def _run(self, job: Job, where: tuple[int, int]) -> npt.NDArray[np.int64]:
        manifest = self.design.manifest
        ports = prepare(self._server.folder, manifest, [job], [where], Stalls())
        outcome = Outcome(*self._server.run(ports))
        (sums,) = collect(self._server.folder, manifest, [job], ports, outcome)
        self.counters += Counters(jobs=1, cycles=outcome.cycles, beats=outcome.accepted, macs=job.macs)
        expected = golden_sums(self._gemm, job.tensor, job.activations)
        what = f"{job.name}, after {self.counters.jobs} jobs"
        require_equal(expected, (sums.value, sums.exponent), what=what, cycle=self.counters.cycles)
        return sums.value

    def close(self) -> None:
        """End the simulation and remove its files."""
        self._server.close()
