"""The part of XRT that the host uses: calls of its Python module `pyxrt`. Any object with these can stand in for it.

Source: XRT 2.15 (2023.1), pyxrt. That module has no access to registers (Xilinx/XRT issue 7863) and sets scalars of 32
bits only. So a kernel is known by its name, and the report of a job comes through memory.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from einloom.spec.errors import ToolError


class Buffer(Protocol):
    """pyxrt.bo: memory in a bank of the card, and its copy on the host."""

    def write(self, data: Any, seek: int) -> None: ...
    def read(self, size: int, skip: int) -> npt.NDArray[np.int8]: ...
    def sync(self, direction: Any, size: int, offset: int) -> None: ...


class Kernel(Protocol):
    """pyxrt.kernel."""

    def group_id(self, index: int) -> int: ...


class Run(Protocol):
    """pyxrt.run: the kernel's arguments, and its executions."""

    def set_arg(self, index: int, value: Any) -> None: ...
    def start(self) -> None: ...
    def wait(self, timeout_ms: int) -> Any: ...


class KernelInformation(Protocol):
    """pyxrt.xclbin.xclbinkernel."""

    def get_name(self) -> str: ...


class Binary(Protocol):
    """pyxrt.xclbin."""

    def get_kernels(self) -> Sequence[KernelInformation]: ...


class Device(Protocol):
    """pyxrt.device."""

    def load_xclbin(self, binary: Any) -> Any: ...


class Xrt(Protocol):
    """The module pyxrt."""

    xclBOSyncDirection: Any
    ert_cmd_state: Any

    def device(self, index: int) -> Device: ...
    def xclbin(self, path: str) -> Binary: ...
    def kernel(self, device: Any, uuid: Any, name: str) -> Kernel: ...
    def run(self, kernel: Any) -> Run: ...
    @property
    def bo(self) -> Any: ...


def pyxrt() -> Xrt:
    """XRT's own module; ToolError when it is not installed."""
    try:
        import pyxrt as module
    except ImportError as error:
        raise ToolError(
            f"XRT's Python module pyxrt cannot be imported ({error}): install XRT and source /opt/xilinx/xrt/setup.sh"
        ) from error
    xrt: Xrt = module
    return xrt
