"""How the memories behind a core's ports behave in simulation (sim/bench/axi_memory.sv)."""

from dataclasses import dataclass

CLOCK_MHZ = 300.0
"""A core's clock, unless told otherwise."""
PEAK = 14.4e9
"""Bytes a second of a pseudo-channel of the U280's HBM2: 64 bits at 1.8 G transfers a second (the data sheet's 460 GB/s
over 32)."""
PRACTICE = 13.27e9
"""Of long bursts, measured (Shuhai, Wang et al., FCCM 2020)."""
REFRESH_EVERY = 3.9e-6
"""Seconds from refresh to refresh (tREFI of JESD235)."""
REFRESH_FOR = REFRESH_EVERY * (1 - PRACTICE / PEAK)
"""What refreshes must last for the peak to become what is measured: 306 ns. HBM2's dies take 260 to 350 ns (tRFC)."""
LATENCY = 110e-9
"""Seconds from a request to its first beat, on an open row of an idle channel (Shuhai)."""
ROW_MISS = 28e-9
"""Seconds to close a row and open another: tRP + tRCD, as is common for HBM2."""
ROW_AGAIN = 47e-9
"""Seconds from one row of a bank to the next: tRC, as is common for HBM2."""


@dataclass(frozen=True)
class MemoryTiming:
    """Behaviour of all memories of a core. Times are in the core's cycles; those of DRAM are 0 in an ideal memory.

    Attributes
    ----------
    latency : from an accepted address to the first beat, and from the last beat to its answer; at least 1.
    bandwidth : beats in 256 cycles, both directions together; 0 for no limit.
    seed : of all that is random; 0 for no stalls.
    stall : chance of a stall, in 1/256, for each channel of a port and cycle.
    refresh_every, refresh_for : from one refresh to the next, and how long it lasts.
    row_miss, row_again : to open a row, and from one row of a bank to the next.
    interleave : 1 answers reads of different IDs in any order.
    error_read, error_write : the burst of a job that gets an error, from 1 on; 0 for none.
    error_memory : the memory that gives the errors; 0 is the system's.
    """

    latency: int = 64
    bandwidth: int = 0
    seed: int = 0
    stall: int = 0
    refresh_every: int = 0
    refresh_for: int = 0
    row_miss: int = 0
    row_again: int = 0
    interleave: int = 0
    error_read: int = 0
    error_write: int = 0
    error_memory: int = 0

    @classmethod
    def hbm(cls, beat_bits: int, clock_mhz: float, seed: int = 1, peak: float = PEAK) -> "MemoryTiming":
        """A pseudo-channel of HBM2 behind each port of `beat_bits`, at the core's clock.

        `seed` shifts refreshes; `peak` is in bytes a second.
        """
        hertz = clock_mhz * 1e6
        beats = min(256, round(256 * peak / hertz / (beat_bits // 8)))
        return cls(
            latency=round(LATENCY * hertz),
            bandwidth=beats,
            seed=seed,
            refresh_every=round(REFRESH_EVERY * hertz),
            refresh_for=round(REFRESH_FOR * hertz),
            row_miss=round(ROW_MISS * hertz),
            row_again=round(ROW_AGAIN * hertz),
        )

    @property
    def beat_share(self) -> float:
        """Share of cycles, 0 to 1, in which a port can have a beat in the long run."""
        refreshing = self.refresh_for / self.refresh_every if self.refresh_every else 0.0
        return min(1.0, self.bandwidth / 256 if self.bandwidth else 1.0) * (1 - refreshing)
