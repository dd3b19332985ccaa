"""A simulated core behind the calls of XRT's Python module: the same host runs on it as on a card.

The host reaches the core through AXI4-Lite writes of its arguments, ap_start and ap_done, and through its buffers, and
through nothing else.
"""

from collections.abc import Sequence
from enum import Enum
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sim.core import SimulatedCore

Bytes = npt.NDArray[np.uint8]


class Direction(Enum):
    XCL_BO_SYNC_BO_TO_DEVICE = 0
    XCL_BO_SYNC_BO_FROM_DEVICE = 1


class State(Enum):
    ERT_CMD_STATE_COMPLETED = 4
    ERT_CMD_STATE_TIMEOUT = 8


class Argument(Protocol):
    """What XRT knows of an argument: the register's name, and the memory port of a pointer."""

    @property
    def name(self) -> str: ...
    @property
    def port(self) -> str: ...


class MemoryPort(Protocol):
    """What it knows of a memory port."""

    @property
    def name(self) -> str: ...


class Interface(Protocol):
    """What it knows of a kernel."""

    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> Sequence[Argument]: ...
    @property
    def memories(self) -> Sequence[MemoryPort]: ...


class SimulatedXrt:
    """Stands in for the module pyxrt; the one device has `core`, and an xclbin is what the core was built from.

    `group_id` gives the number of a pointer's memory, which is a memory of its own with its addresses from 0.
    """

    xclBOSyncDirection = Direction
    ert_cmd_state = State

    def __init__(self, core: SimulatedCore, interface: Interface) -> None:
        self.core = core
        self.interface = interface
        self.bo = _BufferClass(self)

    def device(self, index: int) -> "_Device":
        if index:
            raise RuntimeError(f"No such device with index '{index}'")
        return _Device()

    def xclbin(self, path: str) -> "_Binary":  # noqa: ARG002
        return _Binary([self.interface.name])

    def kernel(self, device: "_Device", uuid: Any, name: str) -> "_Kernel":  # noqa: ARG002
        if name != self.interface.name:
            raise RuntimeError(f"No such kernel '{name}'")
        return _Kernel(self.interface)

    def run(self, kernel: "_Kernel") -> "_Run":  # noqa: ARG002
        return _Run(self)


class _Device:
    def load_xclbin(self, binary: Any) -> object:  # noqa: ARG002
        return object()


class _Binary:
    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def get_kernels(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(get_name=lambda name=name: name) for name in self._names]


class _Kernel:
    def __init__(self, interface: Interface) -> None:
        self._memories = {m.name: n for n, m in enumerate(interface.memories)}
        self._interface = interface

    def group_id(self, index: int) -> int:
        return self._memories[self._interface.arguments[index].port]


class _BufferClass:
    """The class pyxrt.bo: called it makes a buffer, and it has the flags."""

    normal = 0

    def __init__(self, xrt: SimulatedXrt) -> None:
        self._core = xrt.core

    def __call__(self, device: _Device, size: int, flags: int, group: int) -> "_Buffer":  # noqa: ARG002
        return _Buffer(self._core, size, group)


class _Buffer:
    """Memory number `memory` from its start, and the host's copy, which `sync` moves there and back."""

    def __init__(self, core: SimulatedCore, size: int, memory: int) -> None:
        if size > core.memory_sizes[memory]:
            raise RuntimeError("failed to allocate buffer object: Cannot allocate memory")
        self._core = core
        self._memory = memory
        self._copy: Bytes = np.zeros(size, np.uint8)
        self.address = 0

    def write(self, data: Any, seek: int) -> None:
        raw = np.frombuffer(data, np.uint8)
        self._copy[seek : seek + raw.size] = raw

    def read(self, size: int, skip: int) -> npt.NDArray[np.int8]:
        return self._copy[skip : skip + size].view(np.int8).copy()

    def sync(self, direction: Direction, size: int, offset: int) -> None:
        part = slice(offset, offset + size)
        if direction is Direction.XCL_BO_SYNC_BO_TO_DEVICE:
            self._core.load_memory(self._memory, offset, self._copy[part])
        else:
            self._copy[part] = self._core.dump_memory(self._memory, offset, size)


class _Run:
    def __init__(self, xrt: SimulatedXrt) -> None:
        self._core, self._interface = xrt.core, xrt.interface
        self._values: dict[str, int] = {}

    def set_arg(self, index: int, value: Any) -> None:
        self._values[self._interface.arguments[index].name] = value.address if isinstance(value, _Buffer) else value

    def start(self) -> None:
        self._core.write(**self._values)

    def wait(self, timeout_ms: int) -> State:  # noqa: ARG002
        self._core.complete()
        return State.ERT_CMD_STATE_COMPLETED
