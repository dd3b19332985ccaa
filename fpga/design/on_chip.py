"""Which blocks of memory a core's memories become, by the rules of Yosys' mapping for UltraScale+.

A memory of up to LUTRAM_WORDS words stays in LUTs, and so does one of a few more that costs less there. Deeper ones
become block memories, and UltraRAM where that takes far fewer blocks. A block has two ports, so each further read port
takes a copy.
"""

from dataclasses import dataclass
from math import ceil

from einloom.fpga.resources import Resources

LUTRAM_WORDS, LUTRAM_BITS = 64, 7
"""What a RAM64M8 holds, with one read and one write port."""
LUTRAM_COST, HALF_BLOCK_COST = 16, 129
"""Yosys' costs of one, and of half a block; the cheapest memory is taken."""
URAM_WORDS, URAM_BITS = 4096, 72
URAM_LEAST_BITS = 1 << 20
"""Bits of a memory from which on it lies in UltraRAM."""
HALF_BLOCK = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""(words, bits) that a block of 18 kbit holds, with one read and one write port."""


@dataclass(frozen=True)
class Memory:
    """A memory on the chip: its words, their width, and how many ports read it."""

    words: int
    bits: int
    reads: int = 1

    @property
    def in_luts(self) -> bool:
        """It is distributed memory."""
        if self.words <= LUTRAM_WORDS:
            return True
        in_luts = LUTRAM_COST * ceil(self.words / LUTRAM_WORDS) * self.bits / LUTRAM_BITS
        return in_luts < HALF_BLOCK_COST * self._half_blocks()

    @property
    def blocks(self) -> Resources:
        """The blocks that it takes."""
        if self.in_luts:
            return Resources()
        if self.words * self.bits >= URAM_LEAST_BITS:
            return Resources(uram=self.reads * self._urams())
        return Resources(bram36=self.reads * self._half_blocks() / 2)

    def _urams(self) -> int:
        """Whole columns of 72 bits, and one of what is left, of which two, four or more words may share a block's."""
        columns, rest = divmod(self.bits, URAM_BITS)
        beside = 1 << (URAM_BITS // rest).bit_length() - 1 if rest else 1
        return columns * ceil(self.words / URAM_WORDS) + (rest > 0) * ceil(self.words / (URAM_WORDS * beside))

    def _half_blocks(self) -> int:
        """Fewest halves: columns as wide as the depth allows; two deep where a block is too shallow."""
        width = next((bits for words, bits in HALF_BLOCK if words >= self.words), HALF_BLOCK[-1][1])
        return ceil(self.bits / width) * ceil(self.words / HALF_BLOCK[-1][0])
