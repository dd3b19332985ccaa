"""The boards that designs are made for, what they hold, and what of that a design can have."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from einloom.fpga.resources import Resources
from einloom.spec.plugins import plugins

TOOLS = "2023.1"
"""Vitis and Vivado; the last release whose platforms include the U280."""


@dataclass(frozen=True)
class Board:
    """An FPGA card.

    Attributes
    ----------
    part : the FPGA's name at AMD.
    has : the FPGA's resources.
    slrs : dies ("super logic regions") of equal size; wires between them are few and slow.
    platform : name of the platform that Vitis links kernels against; its shell takes a share.
    hbm_banks, hbm_bank_bytes : pseudo-channels of the HBM, which is at SLR0.
    ddr_banks, ddr_bank_bytes : DIMMs beside the FPGA.
    shell : resources of each die that the shell takes, the die beside the memory first; empty where nobody has
        measured it.
    port : resources that the platform spends on each AXI port of a kernel, on its way to the HBM.
    """

    name: str
    part: str
    has: Resources
    slrs: int
    platform: str
    hbm_banks: int
    hbm_bank_bytes: int
    ddr_banks: int
    ddr_bank_bytes: int
    shell: tuple[Resources, ...]
    port: Resources

    def regions(self, ports: int) -> Iterator[tuple[str, Resources]]:
        """(what, resources) that a design with so many AXI ports can be compared with, the whole card first.

        The ports' logic is all charged to the die beside the memory.
        """
        yield self.name, self.has
        if self.shell:
            taken = sum(self.shell, self.port * ports)
            yield f"{self.name} less shell and {ports} memory ports", self.has - taken
            yield "SLR0 less the same", self.dies(ports)[0]
        else:
            yield f"one of its {self.slrs} SLRs", self.has.share(self.slrs)

    def dies(self, ports: int) -> tuple[Resources, ...]:
        """What each die has for a design with so many AXI ports; none where nobody has measured the shell."""
        each = self.has.share(self.slrs)
        left = [each - shell for shell in self.shell]
        return (left[0] - self.port * ports, *left[1:]) if left else ()


# Both cards carry the same silicon with 8 GB (U280) or 16 GB (U55C) of HBM; the U280 also has 32 GB of DDR4. AMD DS963
# and DS978.
_VU37P = Resources(lut=1_304_000, ff=2_607_000, carry8=163_000, dsp=9_024, bram36=2_016, uram=960)
# What RapidStream's device library takes off each die for the shell of the U280's platform.
_U280_SHELL = (
    Resources(lut=54_720, ff=109_440, carry8=6_840, dsp=216, bram36=72),
    Resources(lut=76_800, ff=153_600, carry8=9_600, dsp=288, bram36=96),
    Resources(lut=57_120, ff=114_240, carry8=7_140, dsp=216, bram36=72),
)
# The same project's examples reserve this for a channel of 512 bits; narrower ones take less.
_HBM_PORT = Resources(lut=5_000, ff=6_500, carry8=0)

BOARDS: dict[str, Board] = {
    "u280": Board(
        "u280",
        "xcu280-fsvh2892-2L-e",
        _VU37P,
        3,
        "xilinx_u280_gen3x16_xdma_1_202211_1",
        32,
        256 << 20,
        2,
        16 << 30,
        _U280_SHELL,
        _HBM_PORT,
    ),
    "u55c": Board(
        "u55c",
        "xcu55c-fsvh2892-2L-e",
        _VU37P,
        3,
        "xilinx_u55c_gen3x16_xdma_3_202210_1",
        32,
        512 << 20,
        0,
        0,
        (),
        _HBM_PORT,
    ),
}
BOARDS |= {board.name: board for board in cast(tuple[Board, ...], plugins("einloom.boards"))}
"""Boards of this package, and of packages with an entry point in the group `einloom.boards`."""
