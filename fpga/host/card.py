"""A core on a card: buffers in its banks, jobs, and their reports."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from einloom.fpga.boards import Board
from einloom.fpga.host.xrt import Buffer, Run, Xrt
from einloom.fpga.kernel.interface import HIGH, WRAPPER_PREFIX, KernelInterface, kernel_interface
from einloom.spec.core_registers import design_number, report_names
from einloom.spec.driver import JobResult
from einloom.spec.errors import CheckFailed, InputError, ToolError
from einloom.spec.isa import CoreError
from einloom.spec.manifest import Manifest
from einloom.spec.memory_ports import Traffic
from einloom.spec.program import Program

Bytes = npt.NDArray[np.uint8]
PAGE = 4096
"""Windows are whole pages, as XRT allocates them."""
WORD = 8
"""Bytes of each number in a report."""
WATCHDOG = 1 << 24
"""Cycles without any progress after which the core gives up: 56 ms at 300 MHz, when memory answers in microseconds."""
TIMEOUT_MS = 60_000
"""Time limit of a job. The core's own watchdog ends a job that hangs long before."""
EMULATION = "XCL_EMULATION_MODE"
"""The variable that makes XRT load an emulator, in which a job takes hours."""
FOREVER = 0
"""A timeout that XRT takes for none."""


class CardDriver:
    """A program on a card, behind the calls of einloom.spec.driver.Driver."""

    def __init__(
        self, xrt: Xrt, xclbin: Path, manifest: Manifest, program: Program, board: Board, *, device: int = 0
    ) -> None:
        """Load the xclbin, allocate a buffer in each port's bank, and load the program's images.

        InputError when the xclbin or the program is of another design, or an image is larger than its bank; ToolError
        when XRT refuses.
        """
        self._xrt = xrt
        self._kernel = kernel_interface(manifest, board)
        self._names = _report_names(self._kernel)
        self._design = design_number(manifest.digest)
        self._timeout = FOREVER if EMULATION in os.environ else TIMEOUT_MS
        beat = self._kernel.memories[0].data_bits // 8
        self._report_at = program.system.size
        self._report_size = _report_bytes(self._kernel)
        sizes = window_sizes(program, self._kernel)
        check_program(program, manifest)
        check_banks(sizes, self._kernel)
        binary = _checked_binary(xrt, xclbin, self._kernel.name)
        with _told(f"open device {device}"):
            handle = xrt.device(device)
        with _told(f"load {xclbin} into device {device}"):
            kernel = xrt.kernel(handle, handle.load_xclbin(binary), self._kernel.name)
            self._run: Run = xrt.run(kernel)
        self._buffers: list[Buffer] = []
        for memory, size in zip(self._kernel.memories, sizes, strict=True):
            window = memory.port.name
            base = self._kernel.argument(f"{window}_base").index
            with _told(f"allocate {size:,} bytes in {memory.banks.name} for {memory.name}"):
                buffer = xrt.bo(handle, size, xrt.bo.normal, kernel.group_id(base))
                self._run.set_arg(base, buffer)
            self._buffers.append(buffer)
            self._set(**{f"{window}_size": size})
        self._set(**{a.name: 0 for a in self._kernel.arguments if a.name.endswith(HIGH)})
        for number, image in enumerate(program.images):
            self.load(number, 0, image)
        self._set(
            program=program.symbols.program,
            instructions=len(program.instructions),
            watchdog=WATCHDOG,
            abort=0,
            report=self._report_at // beat,
        )

    def load(self, memory: int, offset: int, data: Bytes) -> None:
        """Write bytes into a port's buffer."""
        direction = self._xrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE
        if data.size:
            with _told(f"write to the buffer of {self._kernel.memories[memory].name}"):
                self._buffers[memory].write(np.ascontiguousarray(data), offset)
                self._buffers[memory].sync(direction, data.size, offset)

    def dump(self, memory: int, offset: int, size: int) -> Bytes:
        """Read bytes of a port's buffer."""
        direction = self._xrt.xclBOSyncDirection.XCL_BO_SYNC_BO_FROM_DEVICE
        with _told(f"read the buffer of {self._kernel.memories[memory].name}"):
            self._buffers[memory].sync(direction, size, offset)
            return np.asarray(self._buffers[memory].read(size, offset)).view(np.uint8)

    def run(self, row: int, length: int) -> JobResult:
        """Run the program for `length` tokens of the table, from a row on; CheckFailed when the card is silent."""
        self.load(0, self._report_at, np.zeros(self._report_size, np.uint8))
        self._set(row=row, length=length)
        with _told(f"run the job at row {row}"):
            self._run.start()
            state = self._run.wait(self._timeout)
        states = self._xrt.ert_cmd_state
        if state == states.ERT_CMD_STATE_TIMEOUT:
            raise CheckFailed(
                f"the job at row {row} did not end within {self._timeout // 1000} s, and the core's watchdog "
                "did not end it: reset the card with xbutil reset"
            )
        if state != states.ERT_CMD_STATE_COMPLETED:
            raise CheckFailed(f"the kernel did not complete the job at row {row}: XRT says {state}")
        words = self.dump(0, self._report_at, self._report_size).view("<u8")
        report = dict(zip(self._names, (int(w) for w in words), strict=False))
        if report["design"] != self._design:
            raise CheckFailed(
                f"the job at row {row} left no report of this design ({report['design']:016x}, not {self._design:016x})"
            )
        counters = {name: report[name] for name in self._names[3:]}
        return JobResult(CoreError(report["error"]), report["error_index"], counters)

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            if not 0 <= value < 1 << 31:
                raise InputError(f"argument {name}: {value} is not in the 31 bits that XRT's Python module can set")
            with _told(f"set argument {name}"):
                self._run.set_arg(self._kernel.argument(name).index, value)


def window_sizes(program: Program, kernel: KernelInterface) -> list[int]:
    """Bytes that each port's buffer needs, in the order of the kernel's memories."""
    report = [_report_bytes(kernel) if Traffic.RESULTS in memory.port.carries else 0 for memory in kernel.memories]
    return [_whole_pages(image.size + more) for image, more in zip(program.images, report, strict=True)]


def check_program(program: Program, manifest: Manifest) -> None:
    """InputError when the program is not of this design."""
    if program.digest != manifest.digest:
        raise InputError(
            f"program {program.name} was compiled for config {program.digest[:12]}, and the design is of "
            f"{manifest.digest[:12]}: compile it again"
        )


def check_banks(sizes: list[int], kernel: KernelInterface) -> None:
    """InputError with every port that needs more, in bytes, than its memory has."""
    problems = []
    for memory, size in zip(kernel.memories, sizes, strict=True):
        room = memory.banks.size
        if size > room:
            problems.append(
                f"{memory.name} needs {size:,} bytes and its memory {memory.banks.name} of the {kernel.board.name} has "
                f"{room:,}"
            )
    if problems:
        raise InputError(
            "; ".join(problems) + ": use more memory.channels, a format with fewer bits, or a shorter context"
        )


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what XRT raises into a ToolError that says what XRT was to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise ToolError(f"XRT cannot {what}: {error}") from error


def _checked_binary(xrt: Xrt, path: Path, kernel: str) -> object:
    """The xclbin; InputError when it is none, or holds the kernel of another config."""
    try:
        binary = xrt.xclbin(str(path))
        names = [k.get_name() for k in binary.get_kernels()]
    except RuntimeError as error:
        raise InputError(f"{path}: not an xclbin: {error}") from error
    if kernel not in names:
        ours = [n for n in names if n.startswith(WRAPPER_PREFIX)]
        what = f"the kernel of config {ours[0].removeprefix(WRAPPER_PREFIX)}" if ours else "no kernel of einloom"
        raise InputError(
            f"{path}: it holds {what}, and the design is of config {kernel.removeprefix(WRAPPER_PREFIX)}: "
            "build it again from this config"
        )
    return binary


def _report_names(kernel: KernelInterface) -> tuple[str, ...]:
    return report_names([memory.port for memory in kernel.memories])


def _report_bytes(kernel: KernelInterface) -> int:
    beat = kernel.memories[0].data_bits // 8
    return -(-len(_report_names(kernel)) * WORD // beat) * beat


def _whole_pages(size: int) -> int:
    return max(1, -(-size // PAGE)) * PAGE
