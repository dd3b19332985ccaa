"""A kernel from outside: its ports, its arguments, and the memory banks behind them."""

from collections.abc import Iterator
from dataclasses import dataclass

from einloom.fpga.boards import Board
from einloom.spec.errors import InputError
from einloom.spec.manifest import Manifest
from einloom.spec.memory_ports import MemoryPort
from einloom.spec.registers import Register

CONTROL = "s_axi_control"
CONTROL_RANGE = 0x1000
"""Bytes of the control port's address space."""
WRAPPER_PREFIX = "einloom_"
DIGEST_CHARACTERS = 12
SCALAR_BYTES = 4
"""Bytes of the scalars that XRT's Python module can set. A register of two words is two arguments, because of a wider
scalar pyxrt would set the lower half only, and send what its command buffer held as the upper half."""
HIGH = "_high"
"""Suffix of a register's name that names the argument with its upper half."""


@dataclass(frozen=True)
class Argument:
    """An argument of the kernel: a register, or half of one, that the host writes before it starts the kernel.

    Attributes
    ----------
    port : memory port that a pointer is for; CONTROL for a scalar.
    size : bytes of the argument.
    offset : address of the argument on the control port.
    """

    name: str
    index: int
    port: str
    size: int
    offset: int

    @property
    def is_pointer(self) -> bool:
        return self.port != CONTROL


@dataclass(frozen=True)
class Banks:
    """Memory that a port can have on a board: neighbouring HBM pseudo-channels, or DIMMs.

    Attributes
    ----------
    memory : "HBM" or "DDR".
    size : bytes of all of them.
    """

    memory: str
    first: int
    last: int
    size: int

    @property
    def name(self) -> str:
        """As link.cfg has it."""
        return f"{self.memory}[{self.first}]" if self.first == self.last else f"{self.memory}[{self.first}:{self.last}]"


@dataclass(frozen=True)
class BankedPort:
    """A memory port of the kernel, and where its memory is."""

    port: MemoryPort
    data_bits: int
    banks: Banks

    @property
    def name(self) -> str:
        """Of the AXI4 master."""
        return self.port.axi

    @property
    def writes(self) -> bool:
        """True when it has write channels."""
        return self.port.writes


@dataclass(frozen=True)
class KernelInterface:
    """A design as a Vitis kernel on a board.

    The kernel's name carries the config's digest, so that the host can tell one xclbin from another.
    """

    name: str
    board: Board
    arguments: tuple[Argument, ...]
    memories: tuple[BankedPort, ...]

    @property
    def instance(self) -> str:
        """The compute unit's name."""
        return f"{self.name}_1"

    def argument(self, name: str) -> Argument:
        """The argument of this name; KeyError when there is none."""
        return {a.name: a for a in self.arguments}[name]


def kernel_name(digest: str) -> str:
    """The name of the kernel of the config with this digest."""
    return f"{WRAPPER_PREFIX}{digest[:DIGEST_CHARACTERS]}"


def kernel_interface(manifest: Manifest, board: Board) -> KernelInterface:
    """The kernel of a design on a board; InputError when it is no core, has more ports than the board has banks, or if
    there are no kernels for the board.

    Weight channel c is in pseudo-channel c. The system's memory is in all those that are left, or in a DIMM where none
    is. No two ports share a pseudo-channel, so none takes of another's bandwidth.
    """
    ports, bits = manifest.core.ports, manifest.gemm.weights.beat_bits
    if not board.platform:
        raise InputError(f"there are no kernel folders for the board {board.name}: it is for einloom design alone")
    channels, each = manifest.gemm.weights.channels, board.hbm_bank_bytes
    left = board.hbm_banks - channels
    if left < 0 or (left == 0 and not board.ddr_banks):
        raise InputError(
            f"{manifest.name}: {channels} weight channels and the system's memory need a bank each; the {board.name} "
            f"has {board.hbm_banks}: reduce memory.channels"
        )
    if left:
        rest = Banks("HBM", channels, board.hbm_banks - 1, left * each)
    else:
        rest = Banks("DDR", 0, 0, board.ddr_bank_bytes)
    memories = tuple(
        BankedPort(port, bits, rest if port.channel is None else Banks("HBM", port.channel, port.channel, each))
        for port in ports
    )
    bases = {f"{port.name}_base": port.axi for port in ports}
    fields = [field for r in manifest.core.registers if r.access == "rw" for field in _fields(r, r.name in bases)]
    arguments = tuple(
        Argument(name, index, bases.get(name, CONTROL), size, offset)
        for index, (name, size, offset) in enumerate(fields)
    )
    return KernelInterface(kernel_name(manifest.digest), board, arguments, memories)


def _fields(register: Register, is_pointer: bool) -> Iterator[tuple[str, int, int]]:
    """Name, bytes and offset of each argument that a register is."""
    if is_pointer:
        yield register.name, SCALAR_BYTES * register.words, register.offset
        return
    for word in range(register.words):
        yield register.name + HIGH * word, SCALAR_BYTES, register.offset + SCALAR_BYTES * word
