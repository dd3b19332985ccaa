"""When a processing element wants its control signals."""

from dataclasses import dataclass

from amaranth.lib import data

# Control of all PEs and rows of an array, each field in the cycle that the PE's `Timing` names.
CONTROL = data.StructLayout({
    "enter": 1,  # a term is issued of the step whose activations are in the row
    "renew": 1,  # ... and it is the first of a tile
    "bsig": 3,  # shared shift of the term whose dot product is being accumulated
    "accumulate": 1,  # a dot product is there
    "first": 1,  # ... and it starts a block
    "capture": 1,  # the block is complete in the accumulator
    "restart": 1,  # cycle after a capture: it was the first block of a tile
    "dequantise": 1,  # multiply by one more scale bit
    "load": 1,  # the tile is complete: put it into the drain register
    "shift": 1,  # take the next row's result into the drain register
})


@dataclass(frozen=True)
class Timing:
    """Delays in cycles from the issue of a term (the cycle in which its codes are decoded).

    Attributes
    ----------
    accumulate : to the cycle in which its dot product is accumulated.
    capture : from the last term of a block to `capture`.
    align : cycles between the capture and the first scale bit.
    scale_bits : cycles of the bit-serial dequantiser; 0 for PEs without one, which load at the capture.
    enter : to the cycle in which the row wants to know of the term, if it does.
    """

    accumulate: int
    capture: int
    align: int
    scale_bits: int
    enter: int | None = None

    @property
    def load(self) -> int:
        """From the last term of a tile to `load`."""
        return self.capture + (1 + self.align + self.scale_bits if self.scale_bits else 0)

    @property
    def block_cycles(self) -> int:
        """Fewest cycles between two captures."""
        return self.align + self.scale_bits
