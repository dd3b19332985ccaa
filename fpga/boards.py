"""The boards that designs are made for, what they hold, and the platforms that kernels are linked against."""

from dataclasses import dataclass

from fpga.resources import Resources

TOOLS = "2023.1"
"""Vitis and Vivado; the last release whose platforms include the U280."""


@dataclass(frozen=True)
class Board:
    """An FPGA card.

    Attributes
    ----------
    part : the FPGA's name at AMD.
    platform : what Vitis links kernels against.
    has : the FPGA's resources.
    slrs : dies ("super logic regions") of about equal size; wires between them are few and slow. HBM is at SLR0.
    hbm_banks, hbm_bank_bytes : pseudo-channels of the HBM.
    """

    name: str
    part: str
    platform: str
    has: Resources
    slrs: int
    hbm_banks: int
    hbm_bank_bytes: int


# Both cards carry the same silicon with 8 GB (U280) or 16 GB (U55C) of HBM. AMD DS963 and DS978.
_VU37P = Resources(lut=1_304_000, ff=2_607_000, carry8=163_000, dsp=9_024, bram36=2_016, uram=960)

BOARDS = {
    "u280": Board("u280", "xcu280-fsvh2892-2L-e", "xilinx_u280_gen3x16_xdma_1_202211_1", _VU37P, 3, 32, 256 << 20),
    "u55c": Board("u55c", "xcu55c-fsvh2892-2L-e", "xilinx_u55c_gen3x16_xdma_3_202210_1", _VU37P, 3, 32, 512 << 20),
}
