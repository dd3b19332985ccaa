"""The host's interface to a core, wherever it runs: the calls of a driver, and the result of a job."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from einloom.spec.isa import CoreError

Bytes = npt.NDArray[np.uint8]
SYSTEM = 0
"""Number of the system's memory; weight channel c has memory c + 1."""


@dataclass(frozen=True)
class JobResult:
    """Result of a job.

    Attributes
    ----------
    error : why the job stopped early, if it did.
    index : instruction at which it stopped.
    counters : counters by the names of spec/core_registers.py; empty for a core without a clock.
    """

    error: CoreError
    index: int
    counters: dict[str, int]


class Driver(Protocol):
    """A core with a program and its image in memory."""

    def load(self, memory: int, offset: int, data: Bytes) -> None:
        """Write whole beats into a memory, from byte `offset` on."""

    def dump(self, memory: int, offset: int, size: int) -> Bytes:
        """Read whole beats of a memory."""

    def run(self, row: int, length: int) -> JobResult:
        """Run the program for `length` tokens from a row of the table of tokens on, to its end."""
