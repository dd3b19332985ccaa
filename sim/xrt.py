"""A simulated kernel behind the calls of XRT's Python module: the same host runs on it as on a card.

The simulation runs the kernel's own top module. Its ports and arguments are known from kernel.xml alone, because Vitis
and XRT know no more. The host reaches it only through AXI4-Lite writes of its arguments, through ap_start and ap_done,
and through its buffers.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from einloom.generators.design import Design
from einloom.sim.bench.core import Top
from einloom.sim.simulated_core import LIMIT, SimulatedCore, Waves
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program

Bytes = npt.NDArray[np.uint8]
CLOCK, RESET = "ap_clk", "ap_rst_n"
"""The names by which Vitis knows a kernel's clock and reset; 0 resets."""
CORE = "kernel.core"
"""Path of the core in the bench, which watches signals inside: the kernel's instance, and the core's in it."""
PAGE = 4096
FIRST_ARGUMENT = 0x10
"""Address of the first argument, behind the registers of ap_ctrl_hs. At each start XRT writes all words from here to
the last argument."""
WORD_BYTES = 4
ADDRESS_BYTES = 8
SCALAR_BYTES = 4
"""Bytes of the integers that pyxrt passes on."""
STALE = 0xA5
"""A byte that nobody wrote."""


class Direction(Enum):
    XCL_BO_SYNC_BO_TO_DEVICE = 0
    XCL_BO_SYNC_BO_FROM_DEVICE = 1


class State(Enum):
    ERT_CMD_STATE_COMPLETED = 4
    ERT_CMD_STATE_TIMEOUT = 8


@dataclass(frozen=True)
class Argument:
    """An argument as XRT knows it; `port` is that of a pointer's memory."""

    offset: int
    size: int
    port: str
    is_pointer: bool


@dataclass(frozen=True)
class Kernel:
    """A kernel as kernel.xml describes it.

    Attributes
    ----------
    arguments : arguments by their ids.
    """

    name: str
    control: str
    memories: tuple[str, ...]
    arguments: tuple[Argument, ...]

    @classmethod
    def parse(cls, xml: str) -> "Kernel":
        """The kernel that the file describes."""
        (element,) = ET.fromstring(xml).iterfind("kernel")
        ports = {mode: [p.attrib["name"] for p in element.iterfind(f"ports/port[@mode='{mode}']")]
                 for mode in ("slave", "master")}  # fmt: skip
        (control,) = ports["slave"]
        arguments = {
            int(a.attrib["id"]): Argument(
                int(a.attrib["offset"], 0),
                int(a.attrib["size"], 0),
                a.attrib["port"],
                a.attrib["addressQualifier"] == "1",
            )
            for a in element.iterfind("args/arg")
        }
        ordered = tuple(arguments[n] for n in range(len(arguments)))
        return cls(element.attrib["name"], control, tuple(ports["master"]), ordered)

    def top(self, verilog: str) -> Top:
        """The kernel's top module, whose text is `verilog`."""
        return Top(
            self.name,
            self.memories,
            verilog=verilog,
            clock=CLOCK,
            reset=RESET,
            reset_low=True,
            control=self.control,
            core=CORE,
        )


class SimulatedXrt:
    """Stands in for the module pyxrt, with one device, whose xclbin holds the kernel of `design`; a context manager.

    `group_id` gives the number of a pointer's memory, which is a memory of its own.

    Parameters
    ----------
    verilog, xml : the kernel's top module and its kernel.xml.
    program : program that is going to run; it says how large memories are.
    limit : cycles after which a job is given up.
    """

    xclBOSyncDirection = Direction
    ert_cmd_state = State

    def __init__(
        self,
        design: Design,
        verilog: str,
        xml: str,
        program: Program,
        *,
        timing: MemoryTiming | None = None,
        limit: int = LIMIT,
        waves: Waves | None = None,
    ) -> None:
        self.described = Kernel.parse(xml)
        self.core = SimulatedCore(
            design,
            program,
            top=self.described.top(verilog),
            timing=timing,
            base=_address(len(self.described.memories)),
            limit=limit,
            waves=waves,
            prepared=False,
        )
        self.bo = _BufferClass(self)

    def __enter__(self) -> "SimulatedXrt":
        return self

    def __exit__(self, *exception: object) -> None:
        self.core.close()

    def device(self, index: int) -> "_Device":
        if index:
            raise RuntimeError(f"No such device with index '{index}'")
        return _Device()

    def xclbin(self, path: str) -> "_Binary":  # noqa: ARG002
        return _Binary([self.described.name])

    def kernel(self, device: "_Device", uuid: Any, name: str) -> "_Kernel":  # noqa: ARG002
        if name != self.described.name:
            raise RuntimeError(f"No such kernel '{name}'")
        return _Kernel(self.described)

    def run(self, kernel: "_Kernel") -> "_Run":  # noqa: ARG002
        return _Run(self)


def _address(memory: int) -> int:
    """Address of the buffer of memory number `memory`: never 0, and never the same twice, as on a card."""
    return PAGE * (memory + 1)


class _Device:
    def load_xclbin(self, binary: Any) -> object:  # noqa: ARG002
        return object()


class _Binary:
    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def get_kernels(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(get_name=lambda name=name: name) for name in self._names]


class _Kernel:
    def __init__(self, described: Kernel) -> None:
        self._described = described

    def group_id(self, index: int) -> int:
        return self._described.memories.index(self._described.arguments[index].port)


class _BufferClass:
    """The class pyxrt.bo: called it makes a buffer, and it has the flags."""

    normal = 0

    def __init__(self, xrt: SimulatedXrt) -> None:
        self._core = xrt.core

    def __call__(self, device: _Device, size: int, flags: int, group: int) -> "_Buffer":  # noqa: ARG002
        return _Buffer(self._core, size, group)


class _Buffer:
    """A part of memory number `memory`, and the host's copy, which `sync` moves there and back."""

    def __init__(self, core: SimulatedCore, size: int, memory: int) -> None:
        self.address = _address(memory)
        if self.address + size > core.memory_sizes[memory]:
            raise RuntimeError("failed to allocate buffer object: Cannot allocate memory")
        self._core = core
        self._memory = memory
        self._copy: Bytes = np.zeros(size, np.uint8)

    def write(self, data: Any, seek: int) -> None:
        raw = np.frombuffer(data, np.uint8)
        self._copy[seek : seek + raw.size] = raw

    def read(self, size: int, skip: int) -> npt.NDArray[np.int8]:
        return self._copy[skip : skip + size].view(np.int8).copy()

    def sync(self, direction: Direction, size: int, offset: int) -> None:
        part = slice(offset, offset + size)
        if direction is Direction.XCL_BO_SYNC_BO_TO_DEVICE:
            self._core.load_memory(self._memory, self.address + offset, self._copy[part])
        else:
            self._copy[part] = self._core.dump_memory(self._memory, self.address + offset, size)


class _Run:
    """The kernel's registers from the first argument to the last, as the host has set them; the rest is what XRT's
    command buffer held before."""

    def __init__(self, xrt: SimulatedXrt) -> None:
        self._core, self._arguments = xrt.core, xrt.described.arguments
        self._registers = bytearray([STALE]) * max(a.offset + a.size for a in self._arguments)

    def set_arg(self, index: int, value: Any) -> None:
        argument = self._arguments[index]
        if isinstance(value, _Buffer) is not argument.is_pointer:
            raise RuntimeError(f"argument {index} is {'a' if argument.is_pointer else 'no'} buffer")
        number, size = (value.address, ADDRESS_BYTES) if argument.is_pointer else (value, SCALAR_BYTES)
        raw = number.to_bytes(size, "little")[: argument.size]
        self._registers[argument.offset : argument.offset + len(raw)] = raw

    def start(self) -> None:
        words = np.frombuffer(self._registers, "<u4")
        first = FIRST_ARGUMENT // WORD_BYTES
        self._core.launch({n * WORD_BYTES: int(words[n]) for n in range(first, len(words))})

    def wait(self, timeout_ms: int) -> State:  # noqa: ARG002
        return State.ERT_CMD_STATE_COMPLETED
