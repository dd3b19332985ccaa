"""A place where linear layers are computed: the golden model, or (sim/gemm_device.py) the generated RTL in Verilator.

The decoder and everything above it is written against `Device`, so the same code runs on either and, later, on a card.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from einloom.sim.golden import gemm
from einloom.spec.quantized import QuantizedTensor


@dataclass(frozen=True)
class Counters:
    """Costs of the device's jobs so far; all zero for a device without a clock."""

    jobs: int = 0
    cycles: int = 0
    beats: int = 0
    """Weight beats accepted, all channels together."""
    macs: int = 0
    """Multiply-accumulates that the model needed, without padding."""

    def __add__(self, other: "Counters") -> "Counters":
        return Counters(
            self.jobs + other.jobs, self.cycles + other.cycles, self.beats + other.beats, self.macs + other.macs
        )


class Device(Protocol):
    """Holds quantized matrices and multiplies them with int8 activations."""

    counters: Counters
    peak_macs_per_cycle: float
    """Multiply-accumulates a cycle when every lane of every PE is busy; 0 where nothing is clocked."""

    def load(self, tensors: Mapping[str, QuantizedTensor]) -> None:
        """Make `tensors` available by name; once, before the first `linear`."""

    def linear(self, name: str, activations: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        """Exact integer sums [T, N] of matrix `name` [N, K] with `activations` [T, K]; any T.

        Raises CheckFailed when what the device computed is not what the golden model says.
        """

    def close(self) -> None:
        """Release the device; afterwards it can't be used."""


class GoldenDevice:
    """The golden model as a device."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.peak_macs_per_cycle = 0.0
        self._tensors: dict[str, QuantizedTensor] = {}

    def load(self, tensors: Mapping[str, QuantizedTensor]) -> None:
        self._tensors = dict(tensors)

    def linear(self, name: str, activations: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        tensor = self._tensors[name]
        self.counters += Counters(jobs=1, macs=len(activations) * tensor.codes.size)
        return gemm.integer_gemm(activations, tensor)

    def close(self) -> None:
        self._tensors = {}
