"""The boards that designs are made for, and what they hold."""

from dataclasses import dataclass

from fpga.resources import Resources


@dataclass(frozen=True)
class Board:
    """An FPGA card.

    Attributes
    ----------
    part : the FPGA's name at AMD.
    has : the FPGA's resources.
    slrs : dies ("super logic regions") of about equal size; wires between them are few and slow.
    """

    name: str
    part: str
    has: Resources
    slrs: int


# Both cards carry the same silicon with 8 GB (U280) or 16 GB (U55C) of HBM. AMD DS963 and DS978.
_VU37P = Resources(lut=1_304_000, ff=2_607_000, carry8=163_000, dsp=9_024, bram36=2_016, uram=960)

BOARDS = {
    "u280": Board("u280", "xcu280-fsvh2892-2L-e", _VU37P, slrs=3),
    "u55c": Board("u55c", "xcu55c-fsvh2892-2L-e", _VU37P, slrs=3),
}
