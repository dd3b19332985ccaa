"""The machines that are compared, with the parameters of FuseMax (MICRO 2024) and of its authors' published model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """A 2D array of PEs, a row of 1D lanes beside it, one global buffer and DRAM.

    Attributes
    ----------
    rows, columns
        PEs of the 2D array. Keys are laid along the rows, queries along the columns.
    lanes
        PEs of the 1D array, each one operation per cycle.
    buffer_bytes
        Size of the global buffer in bytes.
    dram_bytes_per_second
        Bandwidth of DRAM, reads and writes together.
    clock_hz
        Cycles per second of both arrays.
    word_bytes
        Bytes of one value of any tensor, on chip and in DRAM.
    """

    rows: int = 256
    columns: int = 256
    lanes: int = 256
    buffer_bytes: int = 32 << 20
    dram_bytes_per_second: int = 400 << 30
    clock_hz: int = 940_000_000
    word_bytes: int = 2

    @property
    def pes(self) -> int:
        """PEs of the 2D array."""
        return self.rows * self.columns


FUSEMAX = Hardware(buffer_bytes=16 << 20)  # half of FLAT's buffer: it keeps no scores
FLAT = Hardware()  # FLAT's cloud configuration
UNFUSED = Hardware()  # FLAT's machine, one Einsum after the other
