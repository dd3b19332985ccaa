"""The timing of a processing element's control signals."""

from dataclasses import dataclass

from amaranth.lib import data

# Control of all PEs and rows of an array; the PE's `Timing` names the cycle of each field.
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
    accumulate : delay of `accumulate`, with the term's dot product.
    capture : delay of `capture` behind the last term of a block.
    align : cycles between the capture and the first scale bit.
    scale_bits : cycles of the bit-serial dequantiser; 0 for PEs without one, which load at the capture.
    enter : delay of `enter`, for rows that use it.
    """

    accumulate: int
    capture: int
    align: int
    scale_bits: int
    enter: int | None = None

    @property
    def load(self) -> int:
        """Delay of `load` behind the last term of a tile."""
        return self.capture + (1 + self.align + self.scale_bits if self.scale_bits else 0)

    @property
    def block_cycles(self) -> int:
        """Fewest cycles between two captures."""
        return self.align + self.scale_bits
