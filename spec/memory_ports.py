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
    """Logits and reports, written; keys and values too, where the same port has the cache."""
    WEIGHTS = "weights"
    """Weights of one channel, read."""
    KEY_VALUES = "key_values"
    """Keys and values, written, of a cache behind weight channels."""


WRITTEN = (Traffic.RESULTS, Traffic.KEY_VALUES)
BY_CHANNEL = (Traffic.WEIGHTS, Traffic.CACHE, Traffic.KEY_VALUES)
"""What a weight channel may carry, in the order of its masters."""


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
        return any(traffic in WRITTEN for traffic in self.carries)

    @property
    def reads(self) -> tuple[Traffic, ...]:
        """What is read through it."""
        return tuple(traffic for traffic in self.carries if traffic not in WRITTEN)

    @property
    def counters(self) -> dict[str, str]:
        """Counters of its beats, with their meaning: of each master of a channel, of other ports of all together."""
        c = self.channel
        if c is None:
            return {
                f"{self.name}_read_beats": f"beats read through the {self.name} port",
                f"{self.name}_write_beats": "beats written through it",
            }
        meanings = {
            Traffic.WEIGHTS: f"beats of weight channel {c}",
            Traffic.CACHE: f"beats of keys and values read through the port of weight channel {c}",
            Traffic.KEY_VALUES: "beats of keys and values written through it",
        }
        return {f"{traffic}{c}_beats": meanings[traffic] for traffic in self.carries}


Ports = Sequence[MemoryPort]


def memory_ports(channels: int, *, cache_in_channels: bool = False) -> tuple[MemoryPort, ...]:
    """The ports of a core with so many weight channels: one for each, and before them one for all else.

    The cache is behind the weight channels, or behind the port for all else.
    """
    cache = () if cache_in_channels else (Traffic.CACHE,)
    others = (Traffic.PROGRAM, Traffic.TABLES, *cache, Traffic.RESULTS)
    carried = BY_CHANNEL if cache_in_channels else (Traffic.WEIGHTS,)
    weights = (MemoryPort(name=f"weights{c}", carries=carried, channel=c) for c in range(channels))
    return (MemoryPort(name="system", carries=others), *weights)
