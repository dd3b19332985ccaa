"""The boards that designs are made for, what they hold, and what of that a design can have."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import cast

from einloom.fpga.resources import Resources
from einloom.spec.memory_timing import PEAK, MemoryTiming
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
    platform : name of the platform that Vitis links kernels against; its shell takes a share. Empty for a board that
        designs are only reckoned for: there are no kernel folders for it.
    hbm_banks, hbm_bank_bytes : pseudo-channels of the HBM, which is at SLR0.
    ddr_banks, ddr_bank_bytes : DIMMs beside the FPGA.
    shell : resources of each die that the shell takes, the die beside the memory first; empty where nobody has
        measured it.
    port : resources that the platform spends on each AXI port of a kernel, on its way to the HBM.
    bank_bytes_per_second : of each bank that weights come from, at its peak.
    shell_share : share of all resources that a shell which nobody has measured is taken to need.
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
    bank_bytes_per_second: float = PEAK
    shell_share: float = 0.0

    @property
    def weight_banks(self) -> int:
        """Banks of the memory that weights come from: HBM where there is some."""
        return self.hbm_banks or self.ddr_banks

    @property
    def weight_bank_bytes(self) -> int:
        """Size of each of them."""
        return self.hbm_bank_bytes if self.hbm_banks else self.ddr_bank_bytes

    @property
    def most_channels(self) -> int:
        """Weight channels that a core can have, a power of two: each in a bank of its own, and all else in another one.

        A board with one memory has one channel, which shares it.
        """
        spare = 1 if self.hbm_banks and not self.ddr_banks else 0
        return 1 << ((self.weight_banks - spare).bit_length() - 1)

    @property
    def one_memory(self) -> bool:
        """Weights and all else are in the same memory."""
        return not self.hbm_banks

    @property
    def bytes_per_second(self) -> float:
        """Of all of them, at their peak."""
        return self.weight_banks * self.bank_bytes_per_second

    def room(self, ports: int) -> Resources:
        """What is left for a design with so many AXI ports."""
        taken = sum(self.shell, self.port * ports)
        if not self.shell:
            taken += Resources(*(type(a)(a * self.shell_share) for a in astuple(self.has)))
        return self.has - taken

    def timing(self, beat_bits: int, clock_mhz: float) -> MemoryTiming:
        """How a bank behind a port of `beat_bits` behaves; refreshes and latencies are those of HBM2."""
        return MemoryTiming.hbm(beat_bits, clock_mhz, peak=self.bank_bytes_per_second)

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
        shell_share=0.15,  # the U280's shell takes 14.5 % of the LUTs
    ),
    # AMD's product brief of the Alveo V80 (2024): 2,574 k LUTs, 10,848 DSPs, 132 Mbit of block memory, 541 Mbit of
    # UltraRAM, 32 GB of HBM2e with 820 GB/s behind 64 pseudo-channels. A DSP58 does all that a DSP48E2 does. Its fixed
    # NoC leads to the HBM, so a port takes no LUTs.
    "v80": Board(
        "v80",
        "xcv80-lsva4737-2MHP-e-S",
        Resources(lut=2_574_208, ff=5_148_416, carry8=321_776, dsp=10_848, bram36=3_741, uram=1_925),
        3,
        "",
        64,
        512 << 20,
        1,
        32 << 30,
        (),
        Resources(),
        bank_bytes_per_second=12.8e9,
        shell_share=0.1,
    ),
    # AMD DS987 (Kria K26): 4 GB of DDR4 of 64 bits at 2,400 Mb/s, and the FPGA's resources. The processor beside the
    # FPGA takes the place of a shell; the Kria documentation's smallest platform takes 14,410 LUTs.
    "kv260": Board(
        "kv260",
        "xck26-sfvc784-2LV-c",
        Resources(lut=117_120, ff=234_240, carry8=14_640, dsp=1_248, bram36=144, uram=64),
        1,
        "",
        0,
        0,
        1,
        4 << 30,
        (),
        Resources(),
        bank_bytes_per_second=19.2e9,
        shell_share=0.12,
    ),
}
BOARDS |= {board.name: board for board in cast(tuple[Board, ...], plugins("einloom.boards"))}
"""Boards of this package, and of packages with an entry point in the group `einloom.boards`."""
