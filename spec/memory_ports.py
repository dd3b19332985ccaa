"""The memory ports of a core, and what each of them carries.

What has to do with a port follows from this list: masters and arbitration in the core, its window, registers and
counters, the memory that the simulation puts behind it, and its bank on a board.
"""

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

AXI_PREFIX = "m_axi_"


class Traffic(StrEnum):
    """What a port may carry. Each name is that of the master that moves it."""

    PROGRAM = "program"
    """Instructions, read."""
    TABLES = "load"
    """Parameters, embeddings and ids, read."""
    CACHE = "cache"
    """Keys and values, read."""
    RESULTS = "store"
    """Keys and values, logits and reports, written."""
    WEIGHTS = "weights"
    """Weights of one channel, read."""


class MemoryPort(BaseModel):
    """An AXI4 master of a core, with a window of its own in memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    carries: tuple[Traffic, ...]
    channel: int | None = None
    """Of the weights that it carries."""

    @property
    def axi(self) -> str:
        """Its name in Verilog, without the signal's."""
        return f"{AXI_PREFIX}{self.name}"

    @property
    def writes(self) -> bool:
        """It has write channels, too."""
        return Traffic.RESULTS in self.carries

    @property
    def counters(self) -> dict[str, str]:
        """Counters of its beats, with their meaning."""
        if self.writes:
            return {
                f"{self.name}_read_beats": f"beats read through the {self.name} port",
                f"{self.name}_write_beats": "beats written through it",
            }
        return {f"{self.name}_beats": f"beats of weight channel {self.channel}"}


Ports = Sequence[MemoryPort]


def memory_ports(channels: int) -> tuple[MemoryPort, ...]:
    """The ports of a core with so many weight channels: one for each, and before them one for all else."""
    others = tuple(traffic for traffic in Traffic if traffic is not Traffic.WEIGHTS)
    weights = (MemoryPort(name=f"weights{c}", carries=(Traffic.WEIGHTS,), channel=c) for c in range(channels))
    return (MemoryPort(name="system", carries=others), *weights)
