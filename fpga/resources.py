"""Resources of an FPGA, or area in cells of a library, that a design takes."""

from dataclasses import astuple, dataclass
from typing import Self


@dataclass(frozen=True)
class Resources:
    """Counts; they add, and multiply by the number of copies.

    Attributes
    ----------
    lut : 6-input lookup tables, those used as memory or shift register included.
    ff : flip-flops.
    carry8 : carry chains of 8 bits.
    dsp : DSP48E2.
    bram36 : block memories of 36 kbit; one of 18 kbit counts as half.
    uram : UltraRAM blocks of 288 kbit.
    cells : standard cells, without memories.
    area_um2 : area of those cells, in square micrometres.
    memory_bits : bits of memories, which a cell library does not hold.
    """

    lut: int = 0
    ff: int = 0
    carry8: int = 0
    dsp: int = 0
    bram36: float = 0.0
    uram: int = 0
    cells: int = 0
    area_um2: float = 0.0
    memory_bits: int = 0

    def __add__(self, other: Self) -> "Resources":
        return Resources(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, copies: int) -> "Resources":
        return Resources(*(copies * a for a in astuple(self)))

    def __sub__(self, other: Self) -> "Resources":
        return Resources(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def share(self, parts: int) -> "Resources":
        """One of so many equal parts; whole units only."""
        return Resources(*(type(a)(a / parts) for a in astuple(self)))
