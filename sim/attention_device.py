"""The generated attention engine as a device: its Verilog in Verilator, checked against golden on every output."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from einloom.generators.registry import generate
from einloom.mapping.attention_operands import AttentionJob, attention_format
from einloom.sim.bench.attention import AttentionOutcome, AttentionStalls, check, outputs, prepare
from einloom.sim.bench.build import build
from einloom.sim.engine_benches import ATTENTION_MODULE
from einloom.sim.server import BenchServer
from einloom.spec.config import Config


class AttentionDevice:
    """A simulation of a config's attention engine that waits for jobs; a context manager.

    Attributes
    ----------
    manifest, format : the engine's manifest and number format.
    outcome : cost of all jobs so far.
    """

    def __init__(self, config: Config) -> None:
        self.design = generate(config)
        self.manifest = self.design.manifest.attention
        self.format = attention_format(self.manifest)
        self.outcome = AttentionOutcome(0, 0, 0, 0, 0)
        self._server = BenchServer(build(self.design), ATTENTION_MODULE)

    def run(
        self, jobs: Sequence[AttentionJob], stalls: AttentionStalls | None = None, *, compare: bool = True
    ) -> tuple[list[npt.NDArray[np.int64]], AttentionOutcome]:
        """The outputs [F, P] of jobs that run back to back, and what they cost; CheckFailed when one is not golden."""
        folder = self._server.folder
        ports = prepare(folder, self.manifest, jobs, stalls or AttentionStalls())
        outcome = AttentionOutcome(*self._server.run(ports))
        self.outcome += outcome
        if compare:
            check(folder, self.manifest, jobs, outcome, what=self.design.manifest.name)
        return outputs(folder, self.manifest, jobs), outcome

    def __enter__(self) -> "AttentionDevice":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation."""
        self._server.close()
