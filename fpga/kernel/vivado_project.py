"""A plain Vivado project of a kernel, written by Edalize: for synthesis on its own, without Vitis."""

import tempfile
from pathlib import Path

from einloom.fpga.kernel.interface import KernelInterface
from einloom.spec.errors import ToolError

OUT_OF_CONTEXT = "out_of_context.tcl"
SETTINGS = (
    "# The kernel's ports are wires of the platform, not pins.\n"
    "set_property -name {STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS} -value {-mode out_of_context} "
    "-objects [get_runs synth_1]\n"
)


def vivado_project(kernel: KernelInterface, sources: list[str]) -> dict[str, str]:
    """The project's files by name; their paths are relative to a folder beside rtl/. ToolError without Edalize."""
    try:
        from edalize.flows.vivado import Vivado
    except ImportError as error:
        raise ToolError('a kernel folder needs Edalize: pip install "einloom[fpga]"') from error
    files = [{"name": f"../rtl/{name}", "file_type": "verilogSource"} for name in sources]
    files += [
        {"name": "../constraints/clock.xdc", "file_type": "xdc"},
        {"name": OUT_OF_CONTEXT, "file_type": "tclSource"},
    ]
    edam = {
        "name": kernel.name,
        "toplevel": kernel.name,
        "files": files,
        "flow_options": {"part": kernel.board.part, "synth": "vivado", "pnr": "none"},
    }
    with tempfile.TemporaryDirectory() as folder:
        Vivado(edam, folder).configure()
        written = {path.name: path.read_text() for path in sorted(Path(folder).iterdir()) if path.is_file()}
    return written | {OUT_OF_CONTEXT: SETTINGS}
