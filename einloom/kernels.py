"""Kernel folders: what Vitis builds an xclbin from, and the checks of it that need none of the vendor's tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from einloom.catalogue import load_config
from einloom.fpga.boards import BOARDS
from einloom.fpga.check.folder import check_folder
from einloom.fpga.check.report import Finding
from einloom.fpga.kernel.folder import kernel_folder, write_kernel_folder
from einloom.generators.cached_designs import cached_designs
from einloom.html import rows_table
from einloom.memory_sizes import sized_for
from einloom.models.decoder_model import DecoderModel
from einloom.spec.config import Config
from einloom.spec.errors import InputError


@dataclass(frozen=True)
class KernelReport:
    """The checks of a kernel folder.

    Attributes
    ----------
    folder : the folder that was checked.
    findings : verdict and problems of each check.
    files : number of files written; None when the folder was only checked.
    """

    folder: Path
    findings: tuple[Finding, ...]
    files: int | None = None

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed."""
        return [finding.check for finding in self.findings if finding.failed]

    def figures(self) -> dict[str, Any]:
        """Figures that `--json` prints."""
        figures: dict[str, Any] = {"folder": str(self.folder)}
        if self.files is not None:
            figures["files"] = self.files
        return figures | {
            "checks": [
                {"check": f.check, "verdict": f.verdict, "problems": f.problems, "skipped": f.skipped}
                for f in self.findings
            ]
        }

    def _repr_html_(self) -> str:
        rows = ((f.check, f.verdict, "; ".join(f.problems) or f.skipped or "") for f in self.findings)
        return rows_table(str(self.folder), ("check", "verdict", ""), rows)


def kernel(
    config: str | Path | Mapping[str, Any] | Config,
    folder: str | Path,
    *,
    board: str = "u280",
    clock_mhz: int = 300,
    slr: int | None = None,
    model: str | Path | DecoderModel | None = None,
) -> KernelReport:
    """Write the folder in which `make` builds an xclbin from a config's core, and check it.

    `slr` is the die that holds the whole kernel; all of them if None. Memories that are `auto` become as large as
    `model` needs. InputError when the board can't hold what is asked, or the model does not fit.
    """
    if board not in BOARDS:
        raise InputError(f"--board must be one of {', '.join(BOARDS)}, not {board!r}")
    chosen = sized_for(load_config(config), model)
    _ = chosen.core_section
    (design,) = cached_designs(chosen)
    files = kernel_folder(design, BOARDS[board], clock_mhz=clock_mhz, slr=slr)
    write_kernel_folder(Path(folder), files)
    return KernelReport(Path(folder), check(folder).findings, len(files))


def check(folder: str | Path, *, program: str | Path | None = None, xclbin: str | Path | None = None) -> KernelReport:
    """Check a kernel folder; with `program`, also whether what `compile` wrote there fits, and likewise an xclbin."""
    from einloom.sim.verilator import Toolchain  # looks for the simulator

    found = check_folder(
        Path(folder),
        Toolchain().lint,
        program=None if program is None else Path(program),
        xclbin=None if xclbin is None else Path(xclbin),
    )
    return KernelReport(Path(folder), tuple(found))
