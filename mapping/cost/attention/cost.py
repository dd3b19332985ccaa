"""Cost of one attention layer on one machine, by a model."""

from dataclasses import dataclass

from einloom.mapping.cost.attention.hardware import Hardware
from einloom.mapping.cost.attention.workloads import Attention


@dataclass(frozen=True)
class Cost:
    """Time and traffic of one layer.

    Attributes
    ----------
    seconds
        Latency of the layer.
    busy_2d, busy_1d
        Cycles in which the 2D and the 1D array execute operations.
    dram_bytes
        Bytes read from and written to DRAM.
    memory_bound
        True when DRAM, not an array, sets the latency. Without fusion: the latency of any of the three steps.
    """

    seconds: float
    busy_2d: float
    busy_1d: float
    dram_bytes: float
    memory_bound: bool

    def utilisation_2d(self, hardware: Hardware) -> float:
        """Share of the latency in which the 2D array executes operations of any kind: the paper's figure."""
        return self.busy_2d / (self.seconds * hardware.clock_hz)

    def utilisation_1d(self, hardware: Hardware) -> float:
        """Share of the latency in which the 1D array executes operations."""
        return self.busy_1d / (self.seconds * hardware.clock_hz)

    def mac_utilisation(self, attention: Attention, hardware: Hardware) -> float:
        """Multiplications of QK and AV over those that the 2D array could do in the time."""
        return attention.macs / (hardware.pes * self.seconds * hardware.clock_hz)


def overlapped(cycles: float, busy_2d: float, busy_1d: float, dram_bytes: float, hardware: Hardware) -> Cost:
    """The cost where arrays and DRAM work at the same time, so that the slower one alone sets the latency."""
    compute, memory = cycles / hardware.clock_hz, dram_bytes / hardware.dram_bytes_per_second
    return Cost(max(compute, memory), busy_2d, busy_1d, dram_bytes, memory > compute)
